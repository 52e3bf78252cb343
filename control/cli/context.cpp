#include "control/cli/context.h"

#include <iostream>

#include "config/gateway_config.h"
#include "control/cli/table.h"

namespace sluice {
namespace {

// Lines stay lines; whatever else could drive the terminal does not.
std::string printable_lines(const std::string& text) {
  std::string out;
  std::size_t from = 0;
  for (std::size_t at = 0; (at = text.find('\n', from)) != std::string::npos; from = at + 1)
    out += printable(text.substr(from, at - from)) + '\n';
  return out + printable(text.substr(from));
}

}  // namespace

int fail(const std::string& text) {
  std::cerr << "Error: " << printable_lines(text) << '\n';
  return kExitFailed;
}

void warn(const std::string& text) {
  std::cerr << "Warning: " << printable_lines(text) << '\n';
}

std::string writer_name() {
  return "sluice " SLUICE_VERSION;
}

Result<const v1::GatewayConfig*> Context::config() {
  if (!config_) {
    auto loaded = load_gateway_config(options_.config_file);
    if (!loaded) return Error{loaded.error()};
    config_ = std::move(*loaded);
    if (!options_.redis.empty()) config_->mutable_redis()->set_address(options_.redis);
    if (!options_.socket.empty()) config_->mutable_dataplane()->set_socket(options_.socket);
  }
  return &*config_;
}

Result<store::Redis*> Context::redis() {
  if (redis_ && redis_->connected()) return redis_.get();
  auto loaded = config();
  if (!loaded) return Error{loaded.error()};
  redis_ =
      std::make_unique<store::Redis>(io_.get_executor(), store::redis_options((*loaded)->redis()));
  if (const auto status = run(redis_->connect()); !status)
    return Error{"Redis at " + (*loaded)->redis().address() + ": " + status.error() +
                 " (check redis.address in gateway.yaml, or give --redis)"};
  return redis_.get();
}

Result<DataplaneClient*> Context::dataplane() {
  if (dataplane_ && dataplane_->connected()) return dataplane_.get();
  auto loaded = config();
  if (!loaded) return Error{loaded.error()};
  dataplane_ = std::make_unique<DataplaneClient>(io_.get_executor());
  const auto hello = run(dataplane_->connect((*loaded)->dataplane().socket(), writer_name()));
  if (!hello) return Error{hello.error()};
  return dataplane_.get();
}

}  // namespace sluice
