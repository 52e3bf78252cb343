#include "control/model/label_selector.h"

#include <algorithm>
#include <map>

namespace sluice {
namespace {

bool holds(const v1::LabelSelectorRequirement& term, const std::string* value) {
  const auto listed = [&] {
    return value != nullptr &&
           std::find(term.values().begin(), term.values().end(), *value) != term.values().end();
  };
  if (term.operator_() == "In") return listed();
  if (term.operator_() == "NotIn") return !listed();
  if (term.operator_() == "Exists") return value != nullptr;
  return term.operator_() == "DoesNotExist" && value == nullptr;
}

std::string term_text(const v1::LabelSelectorRequirement& term) {
  if (term.operator_() == "Exists") return term.key();
  if (term.operator_() == "DoesNotExist") return "!" + term.key();
  std::string values;
  for (const std::string& value : term.values()) values += (values.empty() ? "" : ",") + value;
  return term.key() + (term.operator_() == "In" ? " in (" : " notin (") + values + ")";
}

}  // namespace

Match match(const v1::LabelSelector& selector, const LabelLookup& labels) {
  Match result = Match::yes;
  const auto add = [&](const Label& label, bool term_holds) {
    if (!label.known && result == Match::yes) result = Match::unknown;
    if (label.known && !term_holds) result = Match::no;
  };
  for (const auto& [key, value] : selector.match_labels()) {
    const Label label = labels(key);
    add(label, label.value != nullptr && *label.value == value);
  }
  for (const v1::LabelSelectorRequirement& term : selector.match_expressions()) {
    const Label label = labels(term.key());
    add(label, holds(term, label.value));
  }
  return result;
}

bool is_empty(const v1::LabelSelector& selector) {
  return selector.match_labels().empty() && selector.match_expressions().empty();
}

std::string selector_text(const v1::LabelSelector& selector) {
  const std::map<std::string, std::string> sorted(selector.match_labels().begin(),
                                                  selector.match_labels().end());
  std::string text;
  for (const auto& [key, value] : sorted) text += (text.empty() ? "" : ",") + key + "=" + value;
  for (const auto& term : selector.match_expressions()) {
    text += (text.empty() ? "" : ",") + term_text(term);
  }
  return text;
}

}  // namespace sluice
