#include "control/kubernetes/watch_outcome.h"

#include <algorithm>
#include <utility>

namespace sluice::kube {
namespace {

const char* word_of(const Response& response) {
  switch (response.failure) {
    case Failure::kCredentials:
      return "credentials";
    case Failure::kTransport:
      return "transport";
    case Failure::kTls:
      return "tls";
    case Failure::kTimeout:
      return "timeout";
    case Failure::kTooLarge:
      return "too_large";
    case Failure::kProtocol:
      return "protocol";
    case Failure::kNone:
      break;
  }
  switch (response.status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case kGone:
      return kExpired;
    case 429:
      return "throttled";
    default:
      return response.status >= 500 ? "server" : "refused";
  }
}

}  // namespace

Outcome senseless(std::string text) {
  return {Outcome::Next::kList, true, "decode", std::move(text), {}, true};
}

Outcome failure_of(const Response& response, Outcome::Next next) {
  Outcome outcome;
  outcome.next = next;
  outcome.failed = true;
  outcome.kind = word_of(response);
  outcome.text = response.error;
  outcome.retry_after = response.retry_after;
  outcome.answered = response.failure == Failure::kNone;
  return outcome;
}

Outcome outcome_of(const ApiStatus& status) {
  Response response;
  response.status = status.code > 0 ? static_cast<unsigned>(status.code) : 500;
  if (status.reason == "Expired" || status.reason == "Gone") response.status = kGone;
  response.reason = status.reason;
  response.error = "its watch was ended by the server: " + status.message;
  if (status.retry_after_seconds && *status.retry_after_seconds > 0) {
    response.retry_after =
        std::chrono::seconds(std::min<std::int64_t>(*status.retry_after_seconds, 3600));
  }
  const bool list = response.status == kGone || response.status == 400 || response.status == 422;
  return failure_of(response, list ? Outcome::Next::kList : Outcome::Next::kWatch);
}

}  // namespace sluice::kube
