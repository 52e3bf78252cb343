// Coordinator: the secret that all gateways of one Redis share.
#include <spdlog/spdlog.h>

#include "control/daemon/coordinator.h"

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kSecretInterval = 2s;  // A flush has no other sign that is as sure.

}  // namespace

void Coordinator::dataplane_connected() {
  secret_.adopt(programmer_.link().maglev_seed(), true);
  note_secret();
}

awaitable<Status> Coordinator::refresh_secret() {
  const auto now = Clock::now();
  if (secret_.state() == store::SecretState::kThere && now - secret_at_ < kSecretInterval)
    co_return Ok{};
  if (Status s = co_await secret_.refresh(); !s) co_return s;
  secret_at_ = now;
  note_secret();
  co_return Ok{};
}

awaitable<Status> Coordinator::establish_secret() {
  if (secret_.state() != store::SecretState::kAbsent) co_return Ok{};
  // A new one only where nobody remembers another: the dataplane has been asked, and so have, for
  // the ledger, the other gateways.
  const bool asked = programmer_.tried() && ledger_.state() == store::LedgerState::kReady;
  const bool remembered = secret_.maglev_seed() != 0;
  if (!remembered && !asked) co_return Ok{};
  if (Status s = co_await secret_.establish(lead_.leader()); !s) co_return s;
  if (secret_.state() == store::SecretState::kThere)
    spdlog::info("secret of the gateways written key={} remembered={}", store::keys::kSecret,
                 remembered);
  note_secret();
  co_return Ok{};
}

// The seed itself is never logged.
void Coordinator::note_secret() {
  if (secret_.state() == store::SecretState::kUnusable) {
    if (auto left_out = secret_log_.admit())
      spdlog::error(
          "secret of the gateways cannot be used key={} problem=\"{}\" effect=\"{}\" "
          "advice=\"delete "
          "the key, and the leading gateway writes it again\" left_out={}",
          store::keys::kSecret, secret_.problem(),
          secret_.maglev_seed() != 0 ? "the last good one stays" : "nothing can be programmed",
          *left_out);
  }
  if (secret_.maglev_seed() == noted_seed_) return;
  if (noted_seed_ != 0)
    spdlog::warn("secret of the gateways changed effect=\"new flows are spread anew\"");
  noted_seed_ = secret_.maglev_seed();
  disk_changed_();
  programmer_.wake();
  own_due_.all = true;
}

}  // namespace sluice
