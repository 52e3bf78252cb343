#include "control/kubernetes/lease.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "control/daemon/signal.h"
#include "control/kubernetes/lease_record.h"

namespace sluice::kube {

namespace asio = boost::asio;
using Clock = LeaseElector::Clock;
using Ms = LeaseOptions::Ms;

class LeaseElector::Impl {
 public:
  Impl(asio::any_io_executor executor, ApiCalls& calls, LeaseOptions options, Hooks hooks)
      : calls_(calls),
        options_(std::move(options)),
        hooks_(std::move(hooks)),
        path_("/apis/coordination.k8s.io/v1/namespaces/" + options_.ns + "/leases"),
        wake_(std::move(executor)) {}

  asio::awaitable<void> run();

  bool leading() const {
    return held_ && !stopping_ && !stand_aside_ && Clock::now() < leads_until_;
  }

  bool stopping_ = false;
  bool held_ = false;  // By what this process wrote last.
  std::uint64_t token_ = 0, above_ = 0;
  bool raise_ = false;
  std::optional<Ms> stand_aside_;
  std::optional<LeaseRecord> seen_;
  Signal& wake() { return wake_; }

 private:
  asio::awaitable<void> attempt();
  asio::awaitable<bool> observe();
  asio::awaitable<void> take();
  asio::awaitable<void> renew();
  asio::awaitable<void> release();
  asio::awaitable<bool> write(LeaseWrite write);
  void keep(LeaseRecord record);
  bool takeable() const;
  void lost(const std::string& why);
  Ms until_next();
  LeaseWrite mine(std::uint64_t transitions, bool acquired) const {
    return {options_.identity, std::chrono::duration_cast<std::chrono::seconds>(options_.duration),
            transitions, acquired};
  }

  ApiCalls& calls_;
  const LeaseOptions options_;
  const Hooks hooks_;
  const std::string path_;
  Signal wake_;
  Clock::time_point seen_at_{};  // When the record was first seen as it is.
  Clock::time_point leads_until_{};
  Clock::time_point aside_until_{};
  std::minstd_rand random_{std::random_device{}()};
};

asio::awaitable<void> LeaseElector::Impl::run() {
  while (!stopping_) {
    if (stand_aside_) {
      aside_until_ = Clock::now() + *std::exchange(stand_aside_, std::nullopt);
      co_await release();
    }
    co_await attempt();
    if (stopping_ || stand_aside_) continue;
    co_await wake_.wait(until_next());
  }
  co_await release();
}

Ms LeaseElector::Impl::until_next() {
  std::uniform_int_distribution<Ms::rep> jitter(0, options_.retry.count() / 5);
  Ms wait = options_.retry + Ms(jitter(random_));
  if (held_) {
    const auto left = std::chrono::duration_cast<Ms>(leads_until_ - Clock::now());
    wait = std::clamp(left, Ms(1), wait);
  }
  return wait;
}

asio::awaitable<void> LeaseElector::Impl::attempt() {
  if (held_ && Clock::now() >= leads_until_) lost("the Lease could not be renewed in time");
  if (held_) {
    co_await renew();
  } else if (Clock::now() >= aside_until_) {
    const bool known = co_await observe();
    if (known && takeable()) co_await take();
  }
}

void LeaseElector::Impl::lost(const std::string& why) {
  if (!std::exchange(held_, false)) return;
  hooks_.on_error("leading ends: " + why);
  hooks_.on_change();
}

void LeaseElector::Impl::keep(LeaseRecord record) {
  const bool other = !seen_ || seen_->holder != record.holder;
  seen_at_ = Clock::now();
  above_ = std::max(above_, record.transitions);  // A Lease that is made anew counts from 0 again.
  seen_ = std::move(record);
  if (other) hooks_.on_change();
}

// Reads the record; true if what is known of it is of now. None at all is a known state too.
asio::awaitable<bool> LeaseElector::Impl::observe() {
  Request request;
  request.target = path_ + "/" + options_.name;
  request.deadline = options_.renew_deadline / 2;
  const Response response = co_await calls_.request(std::move(request));
  if (response.status == 404 && response.failure == Failure::kNone) {
    seen_.reset();
    co_return true;
  }
  if (!response.ok()) {
    hooks_.on_error("the Lease " + options_.ns + "/" + options_.name +
                    " cannot be read: " + response.error);
    co_return false;
  }
  auto record = parse_lease(response.body);
  if (!record) {
    hooks_.on_error(record.error());
    co_return false;
  }
  if (!seen_ || !seen_->same_as(*record)) keep(std::move(*record));
  co_return true;
}

bool LeaseElector::Impl::takeable() const {
  if (!seen_ || seen_->holder.empty() || seen_->holder == options_.identity) return true;
  const Ms duration = seen_->duration.count() > 0 ? Ms(seen_->duration) : options_.duration;
  return Clock::now() >= seen_at_ + duration;
}

asio::awaitable<void> LeaseElector::Impl::take() {
  const std::uint64_t transitions = above_ + 1;
  if (transitions > kMaxTransitions) {
    hooks_.on_error("cannot lead: token " + std::to_string(transitions - 1) +
                    " is in use, and a Lease counts to " + std::to_string(kMaxTransitions));
    co_return;
  }
  const auto began = Clock::now();
  LeaseWrite term = mine(transitions, true);
  const bool written = co_await write(std::move(term));
  if (!written) co_return;
  held_ = true;
  token_ = transitions;
  leads_until_ = began + options_.renew_deadline;
  raise_ = false;
  hooks_.on_change();
}

asio::awaitable<void> LeaseElector::Impl::renew() {
  std::uint64_t transitions = token_;
  if (std::exchange(raise_, false)) transitions = std::max(token_, above_ + 1);
  if (transitions > kMaxTransitions) {
    lost("token " + std::to_string(above_) + " is in use, and a Lease counts to " +
         std::to_string(kMaxTransitions));
    aside_until_ = Clock::now() + std::chrono::minutes(1);
    co_return;
  }
  const auto began = Clock::now();
  LeaseWrite renewal = mine(transitions, transitions != token_);
  const bool written = co_await write(std::move(renewal));
  if (!written) {
    raise_ = raise_ || transitions != token_;
    co_return;
  }
  leads_until_ = std::max(leads_until_, began + options_.renew_deadline);
  if (token_ == transitions) co_return;
  token_ = transitions;
  hooks_.on_change();
}

asio::awaitable<void> LeaseElector::Impl::release() {
  if (!std::exchange(held_, false)) co_return;
  hooks_.on_change();
  LeaseWrite released;
  released.duration = std::chrono::seconds(1);
  released.transitions = token_;
  co_await write(std::move(released));
}

// False: not written, or not known to be. Who writes first wins: a conflict means that the Lease
// was written by somebody else since it was read.
asio::awaitable<bool> LeaseElector::Impl::write(LeaseWrite write) {
  Request request;
  request.content_type = "application/json";
  request.deadline = options_.renew_deadline / 2;
  if (seen_) {
    request.method = "PUT";
    request.target = path_ + "/" + options_.name;
    request.body = lease_update(*seen_, write);
  } else {
    request.method = "POST";
    request.target = path_;
    request.body = new_lease(options_.ns, options_.name, write);
  }
  const Response response = co_await calls_.request(std::move(request));
  if (!response.ok()) {
    if (response.status == 404 && !seen_) {
      hooks_.on_error("the Lease " + options_.ns + "/" + options_.name +
                      " cannot be made: there is no namespace " + options_.ns +
                      "; create it, or name another one in kubernetes.namespace of agent.yaml");
    } else if (response.status != 409 && response.status != 404) {
      hooks_.on_error("the Lease " + options_.ns + "/" + options_.name +
                      " cannot be written: " + response.error);
      // Written after all, perhaps: what is there now tells.
      if (response.failure == Failure::kNone) co_return false;
    }
    const bool known = co_await observe();
    if (!known) co_return false;
    if (held_ && (!seen_ || seen_->holder != options_.identity)) {
      lost(seen_ ? "\"" + seen_->holder + "\" holds the Lease" : "the Lease was deleted");
    }
    co_return false;
  }
  auto record = parse_lease(response.body);
  if (!record) {
    hooks_.on_error(record.error());
    co_return false;
  }
  keep(std::move(*record));
  co_return true;
}

LeaseElector::LeaseElector(asio::any_io_executor executor, ApiCalls& calls, LeaseOptions options,
                           Hooks hooks)
    : impl_(std::make_shared<Impl>(std::move(executor), calls, std::move(options),
                                   std::move(hooks))) {}

LeaseElector::~LeaseElector() = default;

asio::awaitable<void> LeaseElector::run() {
  const std::shared_ptr<Impl> impl = impl_;
  co_await impl->run();
}

void LeaseElector::stop() {
  impl_->stopping_ = true;
  impl_->wake().notify();
}

bool LeaseElector::leading() const {
  return impl_->leading();
}

std::uint64_t LeaseElector::token() const {
  return impl_->token_;
}

std::string LeaseElector::holder() const {
  return impl_->seen_ ? impl_->seen_->holder : std::string();
}

void LeaseElector::require_token_above(std::uint64_t token) {
  if (token < impl_->token_) return;
  impl_->above_ = std::max(impl_->above_, token);
  impl_->raise_ = true;
  impl_->wake().notify();
}

void LeaseElector::step_down(LeaseOptions::Ms pause) {
  impl_->stand_aside_ = pause;
  impl_->wake().notify();
}

}  // namespace sluice::kube
