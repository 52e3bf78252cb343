// LabelSelector: which objects by their labels, in kubectl's -l syntax.
// Purpose: "a=b,c==d,e!=f,g in (x,y),h notin (z),i,!j,k>1,l<9", all of which must hold.
// Ownership: by value. Thread: any, pure. Bounds: 100 requirements. Errors: say which part is
// wrong. Source: Kubernetes, "Labels and Selectors"; k8s.io/apimachinery/pkg/labels.
#pragma once

#include <google/protobuf/map.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"

namespace sluice {

class LabelSelector {
 public:
  using Labels = google::protobuf::Map<std::string, std::string>;

  // Empty text: everything.
  static Result<LabelSelector> parse(std::string_view text);

  bool everything() const { return requirements_.empty(); }
  bool matches(const Labels& labels) const;

 private:
  enum class Operator { in, not_in, exists, absent, greater, less };
  struct Requirement {
    std::string key;
    Operator op = Operator::exists;
    std::vector<std::string> values;  // One for greater and less: a whole number.
    std::int64_t bound = 0;
  };
  class Parser;

  static bool holds(const Requirement& requirement, const Labels& labels);

  std::vector<Requirement> requirements_;
};

}  // namespace sluice
