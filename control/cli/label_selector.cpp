#include "control/cli/label_selector.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "control/manifest/validate.h"

namespace sluice {
namespace {

constexpr std::size_t kMaxRequirements = 100;

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

// Words and operators from left to right; an empty word is an empty value, as in "a=".
class LabelSelector::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Result<LabelSelector> run() {
    LabelSelector selector;
    if (peek() == '\0') return selector;
    do {
      Requirement requirement;
      if (Status s = read(&requirement); !s) return Error{s.error()};
      if (selector.requirements_.size() == kMaxRequirements)
        return wrong("has more than " + std::to_string(kMaxRequirements) + " requirements");
      selector.requirements_.push_back(std::move(requirement));
    } while (take(","));
    if (peek() != '\0') return wrong("has something unexpected at \"" + std::string(rest_) + "\"");
    return selector;
  }

 private:
  Error wrong(const std::string& what) const {
    return Error{"the selector \"" + std::string(text_) + "\" " + what +
                 "; right are for instance app=web, tier!=cache, env in (a,b), !canary"};
  }
  char peek() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t'))
      rest_.remove_prefix(1);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(std::string_view symbol) {
    peek();
    if (!rest_.starts_with(symbol)) return false;
    rest_.remove_prefix(symbol.size());
    return true;
  }
  std::string word() {
    peek();
    const auto end = std::min(rest_.find_first_of("=!,()<> \t"), rest_.size());
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }

  Status read(Requirement* requirement) {
    const bool negated = take("!");
    requirement->key = word();
    if (!is_label_key(requirement->key))
      return wrong(requirement->key.empty()
                       ? std::string("lacks a label's key")
                       : "has \"" + requirement->key + "\" where a label's key should be");
    if (negated) {
      requirement->op = Operator::absent;
      return Ok{};
    }
    return read_operator(requirement);
  }

  Status read_operator(Requirement* requirement) {
    const char next = peek();
    if (next == '\0' || next == ',') return Ok{};  // exists
    if (take("!=")) return read_value(Operator::not_in, requirement);
    if (take("==") || take("=")) return read_value(Operator::in, requirement);
    if (take(">")) return read_bound(Operator::greater, requirement);
    if (take("<")) return read_bound(Operator::less, requirement);
    const std::string name = word();
    if (name == "in") return read_set(Operator::in, requirement);
    if (name == "notin") return read_set(Operator::not_in, requirement);
    return wrong("has no operator after \"" + requirement->key + "\" (=, ==, !=, in, notin, <, >)");
  }

  Status add_value(Requirement* requirement) {
    std::string value = word();
    if (!is_label_value(value))
      return wrong("has \"" + value + "\", which no label's value can be");
    requirement->values.push_back(std::move(value));
    return Ok{};
  }
  Status read_value(Operator op, Requirement* requirement) {
    requirement->op = op;
    return add_value(requirement);
  }
  Status read_bound(Operator op, Requirement* requirement) {
    requirement->op = op;
    const std::string text = word();
    const auto bound = whole_number(text);
    if (!bound) return wrong("compares with \"" + text + "\", which is not a whole number");
    requirement->bound = *bound;
    return Ok{};
  }
  Status read_set(Operator op, Requirement* requirement) {
    requirement->op = op;
    if (!take("(")) return wrong("lacks ( after in or notin");
    do {
      if (Status s = add_value(requirement); !s) return s;
    } while (take(","));
    if (!take(")")) return wrong("lacks )");
    return Ok{};
  }

  std::string_view text_;
  std::string_view rest_;
};

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  return Parser(text).run();
}

bool LabelSelector::holds(const Requirement& requirement, const Labels& labels) {
  const auto at = labels.find(requirement.key);
  const bool present = at != labels.end();
  const auto among = [&] { return std::ranges::count(requirement.values, at->second) > 0; };
  switch (requirement.op) {
    case Operator::in:
      return present && among();
    case Operator::not_in:  // Also objects without the label.
      return !present || !among();
    case Operator::exists:
      return present;
    case Operator::absent:
      return !present;
    case Operator::greater:
    case Operator::less:
      break;
  }
  const auto value = present ? whole_number(at->second) : std::nullopt;
  if (!value) return false;
  return requirement.op == Operator::greater ? *value > requirement.bound
                                             : *value < requirement.bound;
}

bool LabelSelector::matches(const Labels& labels) const {
  return std::ranges::all_of(requirements_, [&](const Requirement& r) { return holds(r, labels); });
}

}  // namespace sluice
