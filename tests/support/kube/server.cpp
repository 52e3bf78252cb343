#include "tests/support/kube/server.h"

#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <filesystem>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/support/kube/server_state.h"

namespace sluice::test::kube {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr const char* kServerNames =
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1";
constexpr const char* kAgentUser = "system:serviceaccount:sluice-system:sluice-agent";

void open(tcp::acceptor& acceptor, std::uint16_t port) {
  const tcp::endpoint here(asio::ip::address_v4::loopback(), port);
  acceptor.open(here.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind(here);
  acceptor.listen();
}

std::string kubeconfig(const std::string& url, const std::string& ca, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters:\n- name: fake\n  "
         "cluster:\n"
         "    server: " +
         url + "\n    certificate-authority: " + ca +
         "\ncontexts:\n- name: fake\n  context: {cluster: fake, user: fake}\nusers:\n- name: fake\n"
         "  user:\n" +
         user;
}

}  // namespace

std::shared_ptr<asio::ssl::context> make_tls(const KeyPair& ca, const KeyPair& certificate) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  context->use_certificate_chain(asio::buffer(certificate.certificate));
  context->use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
  context->add_certificate_authority(asio::buffer(ca.certificate));
  context->set_verify_mode(asio::ssl::verify_peer);  // A client certificate may be left out.
  SSL_CTX_set_session_id_context(context->native_handle(),
                                 reinterpret_cast<const unsigned char*>("kube"), 4);
  return context;
}

Server::State::State(asio::any_io_executor with, ServerOptions given)
    : executor(std::move(with)),
      options(std::move(given)),
      acceptor(executor),
      plain_acceptor(executor),
      down(executor),
      store(options.history),
      api(store, access, options.watch_list),
      load(std::make_unique<Load>(executor, store)) {
  if (options.folder.empty()) {
    std::string path = (std::filesystem::temp_directory_path() / "sluice-kube-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp " + path);
    options.folder = path;
    own_folder = true;
  }
  std::filesystem::create_directories(options.folder + "/serviceaccount");
  if (!options.replay.empty()) replay = std::make_unique<Replay>(options.replay);
}

void Server::State::listen() {
  open(acceptor, options.port);
  options.port = acceptor.local_endpoint().port();
  accept_connections(shared_from_this(), false);
}

void Server::State::drop_connections() {
  for (Connection* connection : std::list<Connection*>(connections)) {
    if (!connection->plain || server == nullptr) connection->close();
  }
}

Outcome Server::State::answer(const Request& request) {
  return api.handle(request);
}

Server::Server(asio::any_io_executor executor, ServerOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(options))) {
  State& state = *state_;
  state.server = this;
  const std::string& folder = state.options.folder;
  state.ca = make_ca("fake-kube-ca");
  state.other_ca = make_ca("another-ca");
  certificate(Certificate::kGood);
  state.listen();
  open(state.plain_acceptor, state.options.plain_port);
  state.options.plain_port = state.plain_acceptor.local_endpoint().port();
  accept_connections(state_, true);
  state.access.add_token("admin-token", {"admin", {"system:masters"}});
  state.access.add_token("nobody-token", {"nobody", {}});
  state.access.add_token("agent-token", {kAgentUser, {"system:serviceaccounts"}});
  CertificateOptions client;
  client.common_name = "admin";
  client.organization = "system:masters";
  client.client = true;
  const KeyPair admin_pair = make_certificate(state.ca, client);
  ClientFiles& files = state.files;
  files = {folder + "/ca.crt",         folder + "/kubeconfig", folder + "/token-kubeconfig",
           folder + "/serviceaccount", folder + "/admin.crt",  folder + "/admin.key"};
  write_file(files.ca, state.ca.certificate);
  write_file(files.admin_certificate, admin_pair.certificate);
  write_file(files.admin_key, admin_pair.key, true);
  write_file(files.service_account + "/ca.crt", state.ca.certificate);
  write_file(files.service_account + "/token", "agent-token", true);
  write_file(files.service_account + "/namespace", "sluice-system");
  write_file(files.kubeconfig, kubeconfig(url(), files.ca,
                                          "    client-certificate: " + files.admin_certificate +
                                              "\n    client-key: " + files.admin_key + "\n"));
  write_file(files.token_kubeconfig, kubeconfig(url(), files.ca, "    token: agent-token\n"));
  state.store.on_change([weak = std::weak_ptr<State>(state_)] {
    if (const std::shared_ptr<State> alive = weak.lock()) {
      for (Connection* connection : alive->connections) {
        if (connection->watching) connection->wake();
      }
    }
  });
}

Server::~Server() {
  state_->server = nullptr;
  boost::system::error_code ignored;
  state_->load->stop();
  state_->down.cancel();
  state_->acceptor.close(ignored);
  state_->plain_acceptor.close(ignored);
  state_->drop_connections();
  if (state_->own_folder) {
    std::error_code error;
    std::filesystem::remove_all(state_->options.folder, error);
  }
}

std::uint16_t Server::port() const {
  return state_->options.port;
}
std::uint16_t Server::plain_port() const {
  return state_->options.plain_port;
}
std::string Server::url() const {
  return "https://127.0.0.1:" + std::to_string(port());
}
std::string Server::plain_url() const {
  return "http://127.0.0.1:" + std::to_string(plain_port());
}
const ClientFiles& Server::files() const {
  return state_->files;
}
Store& Server::store() {
  return state_->store;
}
Access& Server::access() {
  return state_->access;
}
Faults& Server::faults() {
  return state_->faults;
}
Replay* Server::replay() {
  return state_->replay.get();
}
Server::Counters Server::counters() const {
  return state_->counters;
}

void Server::drop_watches(bool cut) {
  for (Connection* connection : std::list<Connection*>(state_->connections)) {
    if (connection->watching) connection->end_watch(cut);
  }
}

void Server::wake_watches() {
  for (Connection* connection : state_->connections) connection->wake();
}

bool Server::restore(const std::string& name) {
  if (!state_->store.restore(name)) return false;
  drop_connections();
  return true;
}

void Server::drop_connections() {
  state_->drop_connections();
}

void Server::restart(std::chrono::milliseconds down) {
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  state_->drop_connections();
  state_->store.compact();
  if (down.count() == 0) return state_->listen();
  state_->down.expires_after(down);
  state_->down.async_wait([state = state_](boost::system::error_code error) {
    if (!error && state->server != nullptr) state->listen();
  });
}

void Server::certificate(Certificate kind) {
  CertificateOptions options;
  options.common_name = "fake-kube-api";
  options.names = kind == Certificate::kWrongName ? "DNS:other.example.net" : kServerNames;
  if (kind == Certificate::kExpired) {
    options.valid_from_s = -10 * 24 * 3600;
    options.valid_to_s = -3600;
  }
  const KeyPair& ca = kind == Certificate::kOtherCa ? state_->other_ca : state_->ca;
  state_->tls = make_tls(state_->ca, make_certificate(ca, options));
  state_->drop_connections();
}

struct ServerThread::Parts {
  asio::io_context context;
  std::unique_ptr<Server> server;
  std::string url, plain_url;
  std::uint16_t port = 0;
  ClientFiles files;
  std::thread thread;
};

ServerThread::ServerThread(ServerOptions options) : parts_(std::make_unique<Parts>()) {
  parts_->server = std::make_unique<Server>(parts_->context.get_executor(), std::move(options));
  parts_->url = parts_->server->url();
  parts_->plain_url = parts_->server->plain_url();
  parts_->port = parts_->server->port();
  parts_->files = parts_->server->files();
  parts_->thread = std::thread([parts = parts_.get()] {
    const auto work = asio::make_work_guard(parts->context);
    parts->context.run();
  });
}

ServerThread::~ServerThread() {
  run([this](Server&) { parts_->server.reset(); });
  parts_->context.stop();
  parts_->thread.join();
}

void ServerThread::run(const std::function<void(Server&)>& work) {
  std::promise<void> done;
  asio::post(parts_->context, [&] {
    try {
      work(*parts_->server);
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

std::string ServerThread::url() const {
  return parts_->url;
}
std::string ServerThread::plain_url() const {
  return parts_->plain_url;
}
std::uint16_t ServerThread::port() const {
  return parts_->port;
}
const ClientFiles& ServerThread::files() const {
  return parts_->files;
}

}  // namespace sluice::test::kube
