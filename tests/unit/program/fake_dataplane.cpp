#include "tests/unit/program/fake_dataplane.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "proto/address.h"

namespace sluice::test {
namespace {

bool read_exactly(int fd, void* data, std::size_t size) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::read(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool write_all(int fd, const std::string& data) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = ::send(fd, data.data() + done, data.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

std::string frame(const v1::Reply& reply) {
  const std::string body = reply.SerializeAsString();
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(body.size() >> shift);
  return out + body;
}

std::string address_text(const std::string& bytes) {
  const auto address = IpAddress::from_bytes(bytes);
  return address ? address->text() : "?";
}

void change(DataplaneState& state, const v1::ApplyPart& part) {
  for (const auto& key : part.delete_vips()) state.vips.erase(vip_text(key));
  for (const auto& vip : part.upsert_vips()) state.vips[vip_text(vip.key())] = vip;
  for (auto id : part.delete_backends()) state.backends.erase(id);
  for (const auto& backend : part.upsert_backends()) state.backends[backend.id()] = backend;
  for (const auto& a : part.delete_addresses()) state.addresses.erase(address_text(a));
  for (const auto& a : part.upsert_addresses()) state.addresses[address_text(a.address())] = a;
}

// What the real one refuses, as far as control could get it wrong; empty: consistent.
std::string inconsistency(const DataplaneState& state) {
  for (const auto& [text, vip] : state.vips) {
    if (!state.addresses.contains(address_text(vip.key().address())))
      return "VIP " + text + ": its address is not served";
    for (const auto& member : vip.members())
      if (!state.backends.contains(member.backend()))
        return "VIP " + text + ": no backend " + std::to_string(member.backend());
  }
  return "";
}

}  // namespace

std::string vip_text(const v1::VipKey& key) {
  const auto address = IpAddress::from_bytes(key.address());
  return (address ? address_port_text(*address, key.port()) : "?") + "/" +
         std::to_string(static_cast<int>(key.protocol()));
}

FakeDataplane::FakeDataplane(std::string path, DataplaneState state)
    : path_(std::move(path)), state_(std::move(state)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) throw std::runtime_error("path too long: " + path_);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  ::unlink(path_.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ||
      ::listen(listener_, 8))
    throw std::runtime_error("cannot listen on " + path_ + ": " + std::strerror(errno));
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeDataplane::~FakeDataplane() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  end_connections();
  for (auto& thread : servers_) thread.join();
  ::unlink(path_.c_str());
}

void FakeDataplane::accept_loop() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    std::lock_guard lock(mutex_);
    fds_.push_back(fd);
    servers_.emplace_back([this, fd] { serve(fd); });
  }
}

void FakeDataplane::end_connections() {
  std::lock_guard lock(mutex_);
  for (int fd : fds_) ::shutdown(fd, SHUT_RDWR);
}

void FakeDataplane::serve(int fd) {
  Transaction open;
  bool is_open = false;
  for (;;) {
    unsigned char head[4];
    if (!read_exactly(fd, head, 4)) break;
    std::string body(head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3], '\0');
    v1::Request request;
    if (!read_exactly(fd, body.data(), body.size()) || !request.ParseFromString(body)) break;
    std::string out;
    {
      std::lock_guard lock(mutex_);
      if (silent_) continue;
      auto replies = answer(request, open, is_open);
      for (auto& reply : replies) {
        reply.set_id(request.id());
        reply.set_more(&reply != &replies.back());
        out += frame(reply);
      }
      if (!raw_.empty()) out = raw_;
    }
    changed_.notify_all();
    if (!write_all(fd, out)) break;
  }
  std::lock_guard lock(mutex_);
  std::erase(fds_, fd);
  ::close(fd);
}

v1::Reply FakeDataplane::hello(const v1::Hello&) const {
  v1::Reply reply;
  auto* hello = reply.mutable_hello();
  hello->set_major(major_);
  hello->set_version("fake");
  hello->set_boot(boot_);
  hello->set_generation(state_.generation);
  hello->set_workers(1);
  hello->mutable_capacity()->set_vips(100000);
  hello->mutable_capacity()->set_backends(1 << 22);
  hello->mutable_capacity()->set_vip_ids(1 << 20);
  return reply;
}

std::vector<v1::Reply> FakeDataplane::report(bool full) const {
  std::vector<v1::Reply> replies(1);
  auto* first = replies.front().mutable_report();
  first->set_boot(boot_);
  first->set_generation(state_.generation);
  first->set_swept_generation(state_.generation);
  first->set_maglev_seed(state_.maglev_seed);
  if (!full) return replies;
  // One VIP a reply, so that putting them together is what is tested.
  for (const auto& [key, backend] : state_.backends) *first->add_backends() = backend;
  for (const auto& [key, address] : state_.addresses) *first->add_addresses() = address;
  for (const auto& [key, vip] : state_.vips) {
    v1::Reply reply;
    *reply.mutable_report()->add_vips() = vip;
    replies.push_back(reply);
  }
  return replies;
}

v1::Reply FakeDataplane::commit(Transaction& open) {
  v1::Reply reply;
  DataplaneState next = open.begin.base() == 0 ? DataplaneState{} : state_;
  for (const auto& part : open.parts) change(next, part);
  next.generation = open.begin.generation();
  next.maglev_seed = open.begin.maglev_seed();
  std::string refusal = refusal_;
  if (refusal.empty() && open.begin.base() != 0 && open.begin.base() != state_.generation)
    refusal = "base " + std::to_string(open.begin.base()) + " is not the generation serving";
  if (refusal.empty()) refusal = inconsistency(next);
  open.committed = refusal.empty();
  reply.set_error(refusal);
  if (open.committed) state_ = std::move(next);
  reply.mutable_apply()->set_generation(state_.generation);
  transactions_.push_back(std::move(open));
  return reply;
}

std::vector<v1::Reply> FakeDataplane::answer(const v1::Request& request, Transaction& open,
                                             bool& is_open) {
  v1::Reply reply;
  switch (request.request_case()) {
    case v1::Request::kHello:
      return {hello(request.hello())};
    case v1::Request::kReport:
      return report(request.report().full());
    case v1::Request::kApplyBegin:
      if (is_open)
        reply.set_error("a transaction is open");
      else if (request.apply_begin().generation() <= state_.generation)
        reply.set_error("the generation is not greater than the one serving");
      else {
        open = Transaction{request.apply_begin(), {}, false};
        is_open = true;
      }
      return {reply};
    case v1::Request::kApplyPart:
      if (is_open)
        open.parts.push_back(request.apply_part());
      else
        reply.set_error("no transaction is open");
      return {reply};
    case v1::Request::kApplyCommit:
      if (!is_open) {
        reply.set_error("no transaction is open");
        return {reply};
      }
      is_open = false;
      return {commit(open)};
    case v1::Request::kApplyAbort:
      is_open = false;
      return {reply};
    case v1::Request::kStatistics:
      *reply.mutable_statistics() = statistics_;
      return {reply};
    case v1::Request::kFlows:
      *reply.mutable_flows() = flows_;
      return {reply};
    case v1::Request::kTrace:
      *reply.mutable_trace() = trace_;
      return {reply};
    case v1::Request::kPorts:
      *reply.mutable_ports() = ports_;
      return {reply};
    case v1::Request::REQUEST_NOT_SET:
      break;
  }
  reply.set_error("unknown request");
  return {reply};
}

DataplaneState FakeDataplane::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::vector<Transaction> FakeDataplane::transactions() const {
  std::lock_guard lock(mutex_);
  return transactions_;
}

std::size_t FakeDataplane::commits() const {
  std::lock_guard lock(mutex_);
  return std::ranges::count_if(transactions_, &Transaction::committed);
}

void FakeDataplane::refuse_commits(std::string reason) {
  std::lock_guard lock(mutex_);
  refusal_ = std::move(reason);
}

void FakeDataplane::restart() {
  {
    std::lock_guard lock(mutex_);
    boot_ = "boot-" + std::to_string(++boots_);
    state_ = {};
  }
  end_connections();
}

void FakeDataplane::set_major(std::uint32_t major) {
  std::lock_guard lock(mutex_);
  major_ = major;
}

void FakeDataplane::set_statistics(v1::Statistics statistics) {
  std::lock_guard lock(mutex_);
  statistics_ = std::move(statistics);
}

void FakeDataplane::set_flows(v1::Flows flows) {
  std::lock_guard lock(mutex_);
  flows_ = std::move(flows);
}

void FakeDataplane::set_trace(v1::Trace trace) {
  std::lock_guard lock(mutex_);
  trace_ = std::move(trace);
}

void FakeDataplane::set_ports(v1::Ports ports) {
  std::lock_guard lock(mutex_);
  ports_ = std::move(ports);
}

void FakeDataplane::answer_raw(std::string bytes) {
  std::lock_guard lock(mutex_);
  raw_ = std::move(bytes);
}

void FakeDataplane::be_silent(bool silent) {
  std::lock_guard lock(mutex_);
  silent_ = silent;
}

bool FakeDataplane::wait_for(const std::function<bool(const DataplaneState&)>& predicate,
                             std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return predicate(state_); });
}

}  // namespace sluice::test
