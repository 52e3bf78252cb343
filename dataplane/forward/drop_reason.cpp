#include "dataplane/forward/drop_reason.h"

namespace sluice {
namespace {

struct Text {
  const char* name;
  const char* help;
};
constexpr Text kTexts[] = {
#define X(id, name, help) {name, help},
    SLUICE_DROP_REASONS(X)
#undef X
};
static_assert(sizeof(kTexts) / sizeof(kTexts[0]) == static_cast<unsigned>(DropReason::count));

const Text& text(DropReason reason) {
  const auto i = static_cast<unsigned>(reason);
  return kTexts[i < static_cast<unsigned>(DropReason::count) ? i : 0];
}

}  // namespace

const char* name(DropReason reason) {
  return text(reason).name;
}

const char* help(DropReason reason) {
  return text(reason).help;
}

}  // namespace sluice
