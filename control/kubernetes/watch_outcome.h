// Outcome: how one attempt to list or to watch ended, and what comes next.
// Ownership: by value. Thread: any, pure. Source:
// kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of changes", "410 Gone
// responses".
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "control/kubernetes/api_client.h"
#include "control/kubernetes/api_json.h"

namespace sluice::kube {

inline constexpr unsigned kGone = 410;
inline constexpr const char* kExpired = "expired";

struct Outcome {
  enum class Next {
    kWatch,  // Goes on from the resourceVersion there is.
    kList,   // Needs a whole list.
  };
  Next next = Next::kWatch;
  bool failed = false;  // Wait before the next attempt.
  std::string kind{};   // Word for metrics; empty: nothing to tell.
  std::string text{};
  std::optional<std::chrono::seconds> retry_after{};
  bool answered = false;  // The failure is the server's word, not the network's.
};

// What came makes no sense: only a whole list helps.
Outcome senseless(std::string text);
Outcome failure_of(const Response& response, Outcome::Next next);
// Of a watch's ERROR event.
Outcome outcome_of(const ApiStatus& status);

}  // namespace sluice::kube
