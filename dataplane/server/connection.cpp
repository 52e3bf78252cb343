#include "dataplane/server/connection.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace sluice {

Connection::Connection(int fd, Transaction::Client number, RequestHandler& handler)
    : fd_(fd), handler_(handler), progress_(Clock::now()) {
  session_.client = number;
}

Connection::~Connection() {
  handler_.disconnected(session_);
  ::close(fd_);
}

void Connection::log_end(const std::string& reason) const {
  spdlog::warn("connection ended number={} client=\"{}\" reason=\"{}\"", session_.client,
               session_.name, reason);
}

bool Connection::on_readable() {
  char buffer[kRead];
  const ssize_t got = ::recv(fd_, buffer, sizeof(buffer), 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return true;
    log_end(std::string("reading failed: ") + std::strerror(errno));
    return false;
  }
  if (got == 0) {
    if (decoder_.pending() > 0) log_end("the last message was cut");
    // What it asked for before it shut its side is still answered.
    ending_ = true;
    return pump();
  }
  decoder_.append({buffer, static_cast<std::size_t>(got)});
  return pump();
}

bool Connection::on_writable() {
  return send() && pump();
}

bool Connection::pump() {
  for (;;) {
    while (stream_ != nullptr && out_.size() - sent_ < kOutLimit) {
      v1::Reply reply;
      const bool more = stream_(reply);
      reply.set_more(more);
      add_reply(reply);
      if (!more) stream_ = nullptr;
    }
    if (!send()) return false;
    if (busy()) {
      if (wants_write()) return true;  // Goes on when the client has taken some.
      continue;
    }
    if (ending_) return wants_write();
    Result<std::optional<std::string_view>> frame = decoder_.next();
    if (!frame) {
      log_end(frame.error());
      return refuse(frame.error());
    }
    if (!frame->has_value()) return true;
    answer(**frame);
  }
}

void Connection::answer(std::string_view message) {
  v1::Request request;
  if (message.size() > INT_MAX ||
      !request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    log_end("a message is not a Request");
    request_id_ = 0;
    stream_ =
        refusal("the message is not a Request of proto/dataplane.proto; the connection is closed");
    ending_ = true;
    return;
  }
  request_id_ = request.id();
  stream_ = handler_.handle(session_, request);
}

bool Connection::refuse(std::string_view why) {
  v1::Reply reply;
  reply.set_error(std::string(why));
  request_id_ = 0;
  add_reply(reply);
  ending_ = true;
  return send() && wants_write();
}

void Connection::add_reply(v1::Reply& reply) {
  reply.set_id(request_id_);
  if (out_.empty()) progress_ = Clock::now();
  if (Status status = append_frame(out_, reply.SerializeAsString()); status) return;
  // Cannot come of kReplyBytes and the limits of a part; the client must not wait for ever if it
  // does.
  v1::Reply error;
  error.set_id(request_id_);
  error.set_error("the answer is too long for one message");
  (void)append_frame(out_, error.SerializeAsString());
  stream_ = nullptr;
}

bool Connection::send() {
  while (sent_ < out_.size()) {
    const ssize_t put = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      log_end(std::string("writing failed: ") + std::strerror(errno));
      return false;
    }
    sent_ += static_cast<std::size_t>(put);
    progress_ = Clock::now();
  }
  if (sent_ == out_.size() || sent_ >= kOutLimit) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  return true;
}

}  // namespace sluice
