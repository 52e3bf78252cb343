// metav1.LabelSelector. Thread: any, pure.
// Source: Kubernetes API reference, LabelSelector: all terms must hold; NotIn and DoesNotExist hold
// where the label is missing; an empty selector matches everything.
#pragma once

#include <functional>
#include <string>

#include "kubernetes.pb.h"

namespace sluice {

enum class Match { no, yes, unknown };

struct Label {
  bool known = true;                   // Else nothing can be said of it.
  const std::string* value = nullptr;  // Null: the label is not there.
};
using LabelLookup = std::function<Label(const std::string& key)>;

// One term that does not hold makes it no, else one that is not known makes it unknown. A term with
// an operator that does not exist never holds.
Match match(const v1::LabelSelector& selector, const LabelLookup& labels);

bool is_empty(const v1::LabelSelector& selector);
std::string selector_text(const v1::LabelSelector& selector);  // As kubectl: "a=b,c in (d,e),!f".

}  // namespace sluice
