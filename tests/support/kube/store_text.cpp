#include "tests/support/kube/store_text.h"

#include <ctime>
#include <random>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

std::mt19937_64& generator() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

}  // namespace

std::string key_of(const Stored& object) {
  return object.ns.empty() ? object.name : object.ns + "/" + object.name;
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text, length);
}

std::string random_uid() {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx";
  std::uint64_t bits = 0;
  int left = 0;
  for (char& c : text) {
    if (c != 'x') continue;
    if (left == 0) {
      bits = generator()();
      left = 16;
    }
    c = kHex[bits & 15];
    bits >>= 4;
    --left;
  }
  return text;
}

std::string random_suffix() {
  constexpr char kLetters[] = "bcdfghjklmnpqrstvwxz2456789";
  std::string text(5, 'b');
  for (char& c : text) c = kLetters[generator()() % (sizeof kLetters - 1)];
  return text;
}

Answer with_object(unsigned status, const std::string& object) {
  return {status, object + "\n", 0};
}

bool has_finalizers(const json::object& object) {
  const json::value* list = at(object, {"metadata", "finalizers"});
  return list != nullptr && list->is_array() && !list->get_array().empty();
}

}  // namespace sluice::test::kube
