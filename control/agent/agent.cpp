#include "control/agent/agent.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <utility>
#include <vector>

#include "config/logging.h"
#include "control/agent/cluster_cache.h"
#include "control/agent/metrics.h"
#include "control/agent/publish_loop.h"
#include "control/health/health_server.h"
#include "control/health/metric_families.h"
#include "control/kubernetes/api_client.h"
#include "control/store/scripts.h"

namespace sluice::agent {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr auto kLongestStop = std::chrono::seconds(5);  // Of the Lease's release.

std::string program_version() {
  return "sluice-agent " SLUICE_VERSION;
}

std::string new_identity() {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '?';
  return std::string(host) + "_" + store::random_id();
}

PublishOptions publish_options(const v1::AgentConfig& config) {
  PublishOptions options;
  options.redis = store::redis_options(config.redis());
  options.source = config.cluster();
  options.writer = program_version();
  options.resync = std::chrono::seconds(config.resync_seconds());
  return options;
}

// Fields of agent.yaml that take effect on SIGHUP.
bool takes_effect_at_once(const std::string& field) {
  return field.starts_with("logging") || field == "loadBalancerClasses" || field == "resyncSeconds";
}

}  // namespace

Result<kube::ServerAccess> server_access(const v1::AgentKubernetes& config) {
  if (!config.kubeconfig().empty()) return kube::kubeconfig_access(config.kubeconfig());
  if (kube::in_cluster()) return kube::in_cluster_access();
  return Error{
      "kubernetes.kubeconfig is not given, and this is no pod (KUBERNETES_SERVICE_HOST and _PORT "
      "are not set): name a kubeconfig there or by --kubeconfig"};
}

class Agent::Impl final : public CacheObserver, public Leadership {
 public:
  Impl(asio::io_context& io, AgentOptions options)
      : io_(io),
        options_(std::move(options)),
        signals_(io, SIGTERM, SIGINT, SIGHUP),
        give_up_(io),
        cache_(options_.config.cluster(), program_version(), *this),
        publish_(io.get_executor(), cache_, *this, publish_options(options_.config),
                 [this](std::chrono::nanoseconds latency) { latency_.add(latency); }),
        health_(io.get_executor(), [this](std::string_view path) { return answer(path); }) {}

  Status start();
  void stop();

  // CacheObserver
  void on_differs(const ObjectKey& key, const std::string&, Time arrived) override {
    publish_.changed(key, arrived);
  }
  void on_service(const ServiceName& name) override {
    if (write_back_) write_back_->on_service(name);
  }
  void on_listed(v1::Kind kind) override;

  // Leadership
  bool leading() const override { return elector_ && elector_->leading(); }
  std::uint64_t token() const override { return elector_ ? elector_->token() : 0; }
  void require_token_above(std::uint64_t token) override {
    if (elector_) elector_->require_token_above(token);
  }
  void step_down(std::chrono::milliseconds pause) override {
    if (elector_) elector_->step_down(pause);
  }

  bool published() const { return leading() && publish_.state().published; }
  std::uint16_t port() const { return health_.port(); }

 private:
  void make_parts(kube::ServerAccess access);
  void on_leadership();
  void reload();
  awaitable<void> handle_signals();
  awaitable<void> run_elector();
  HealthAnswer answer(std::string_view path);
  AgentState state() const;
  template <typename Loop>
  void spawn(const char* name, Loop loop);

  asio::io_context& io_;
  AgentOptions options_;
  const std::string identity_ = new_identity();
  asio::signal_set signals_;
  asio::steady_timer give_up_;
  LatencyHistogram latency_;
  ClusterCache cache_;
  PublishLoop publish_;
  HealthServer health_;
  std::unique_ptr<kube::ApiClient> client_;
  std::unique_ptr<kube::ApiCalls> calls_;
  std::vector<std::unique_ptr<kube::Reflector>> reflectors_;
  std::unique_ptr<kube::LeaseElector> elector_;
  std::unique_ptr<WriteBack> write_back_;
  LogLimiter lease_log_;
  bool stopping_ = false, led_ = false;
};

template <typename Loop>
void Agent::Impl::spawn(const char* name, Loop loop) {
  asio::co_spawn(io_, std::move(loop), [name](std::exception_ptr failure) {
    if (!failure) return;
    // None of ours throws; what does (no memory) leaves nothing to go on with.
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      spdlog::critical("loop ended loop={} error=\"{}\"", name, e.what());
    }
    std::abort();
  });
}

Status Agent::Impl::start() {
  auto access = server_access(options_.config.kubernetes());
  if (!access) return Error{access.error()};
  if (!options_.config.listen().empty()) {
    if (Status listening = health_.listen(options_.config.listen()); !listening) return listening;
  }
  spdlog::info("starting version={} cluster={} server={} origin=\"{}\" redis=\"{}\" health_port={}",
               SLUICE_VERSION, options_.config.cluster(), access->url(), access->origin,
               store::target_text(store::redis_options(options_.config.redis())), health_.port());
  make_parts(std::move(*access));
  for (auto& reflector : reflectors_) spawn("reflector", reflector->run());
  spawn("publish", publish_.run());
  spawn("lease", run_elector());
  if (write_back_) spawn("write back", write_back_->run());
  spawn("signals", handle_signals());
  return Ok{};
}

void Agent::Impl::make_parts(kube::ServerAccess access) {
  const v1::AgentKubernetes& config = options_.config.kubernetes();
  kube::LeaseOptions lease = options_.lease_timing;
  lease.ns = config.namespace_();
  if (lease.ns.empty()) lease.ns = access.default_namespace;
  if (lease.ns.empty()) lease.ns = "default";
  lease.name = config.lease_name();
  lease.identity = identity_;
  client_ = std::make_unique<kube::ApiClient>(io_.get_executor(), std::move(access));
  calls_ = kube::api_calls(*client_);
  elector_ = std::make_unique<kube::LeaseElector>(
      io_.get_executor(), *calls_, std::move(lease),
      kube::LeaseElector::Hooks{[this] { on_leadership(); },
                                [this](const std::string& text) {
                                  if (const auto left_out = lease_log_.admit())
                                    spdlog::warn("lease problem=\"{}\" left_out={}", text,
                                                 *left_out);
                                }});
  for (const v1::Kind kind : kPublishedKinds) {
    reflectors_.push_back(std::make_unique<kube::Reflector>(io_.get_executor(), *calls_, kind,
                                                            cache_.handler(kind), options_.timing));
  }
  if (!options_.make_write_back) return;
  const auto& classes = options_.config.load_balancer_classes();
  write_back_ = options_.make_write_back({io_.get_executor(),
                                          *client_,
                                          store::redis_options(options_.config.redis()),
                                          cache_,
                                          options_.config.cluster(),
                                          identity_,
                                          {classes.begin(), classes.end()},
                                          [this] { return leading(); }});
}

// The Lease goes back before the connections do.
awaitable<void> Agent::Impl::run_elector() {
  co_await elector_->run();
  client_->close();
  give_up_.cancel();
}

void Agent::Impl::stop() {
  if (std::exchange(stopping_, true)) return;
  elector_->stop();
  for (auto& reflector : reflectors_) reflector->stop();
  if (write_back_) write_back_->stop();
  publish_.stop();
  health_.stop();
  signals_.cancel();
  give_up_.expires_after(kLongestStop);
  give_up_.async_wait([this](boost::system::error_code error) {
    if (!error) client_->close();
  });
}

void Agent::Impl::on_listed(v1::Kind kind) {
  publish_.wake();
  if (write_back_ && kind == v1::KIND_SERVICE) write_back_->on_services_synced();
}

void Agent::Impl::on_leadership() {
  const bool now = leading();
  if (std::exchange(led_, now) != now) {
    if (now) {
      spdlog::info("this agent leads identity={} token={}", identity_, token());
    } else {
      spdlog::info("this agent does not lead holder=\"{}\"", elector_->holder());
    }
    if (write_back_) write_back_->on_leading(now);
  }
  publish_.wake();
}

awaitable<void> Agent::Impl::handle_signals() {
  while (!stopping_) {
    boost::system::error_code error;
    const int signal =
        co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    if (signal == SIGHUP) {
      reload();
      continue;
    }
    spdlog::info("stopping signal={} what is published stays", signal);
    stop();
  }
}

void Agent::Impl::reload() {
  auto next = load_agent_config(options_.config_file, options_.overrides);
  if (!next) {
    spdlog::error("configuration not reloaded, the old one stays error=\"{}\"", next.error());
    return;
  }
  v1::AgentConfig& config = options_.config;
  const auto changed = changed_fields(config, *next);
  spdlog::info("configuration reloaded changed={}", changed.size());
  for (const std::string& field : changed) {
    if (takes_effect_at_once(field)) {
      spdlog::info("configuration changed field={} effect=now", field);
    } else {
      spdlog::warn("configuration changed field={} effect=\"after a restart of sluice-agent\"",
                   field);
    }
  }
  *config.mutable_logging() = next->logging();
  *config.mutable_load_balancer_classes() = next->load_balancer_classes();
  config.set_resync_seconds(next->resync_seconds());
  init_logging(config.logging(), "sluice-agent");
  publish_.set_resync(std::chrono::seconds(config.resync_seconds()));
  if (write_back_) {
    write_back_->set_load_balancer_classes(
        {config.load_balancer_classes().begin(), config.load_balancer_classes().end()});
  }
}

AgentState Agent::Impl::state() const {
  AgentState state;
  for (const v1::Kind kind : kPublishedKinds) state.kinds[kind] = cache_.state(kind);
  state.publish = publish_.state();
  if (write_back_) state.write_back = write_back_->state();
  state.leading = leading();
  state.token = token();
  state.holder = elector_ ? elector_->holder() : std::string();
  return state;
}

HealthAnswer Agent::Impl::answer(std::string_view path) {
  HealthAnswer answer;
  if (path == "/healthz") {
    answer.body = "ok\n";  // This loop answers.
  } else if (path == "/readyz") {
    Readiness readiness_now = readiness(state());
    answer.status = readiness_now.ready ? 200 : 503;
    answer.body = std::move(readiness_now.text);
  } else if (path == "/metrics") {
    answer.content_type = MetricFamilies::kContentType;
    answer.body = metrics_text(state(), latency_, SLUICE_VERSION);
  } else {
    answer.status = 404;
    answer.body = "there are /healthz, /readyz and /metrics\n";
  }
  return answer;
}

Agent::Agent(asio::io_context& io, AgentOptions options)
    : impl_(std::make_unique<Impl>(io, std::move(options))) {}

Agent::~Agent() = default;

Status Agent::start() {
  return impl_->start();
}

void Agent::stop() {
  impl_->stop();
}

bool Agent::leading() const {
  return impl_->leading();
}

bool Agent::published() const {
  return impl_->published();
}

std::uint16_t Agent::port() const {
  return impl_->port();
}

}  // namespace sluice::agent
