// Connection: one client of the server: frames in, replies out, both bounded.
//
// While replies wait to be taken, nothing more is read: the client's own socket then holds it back.
// A message that cannot be understood ends the connection after an error reply.
// Thread: the server's. Ownership: of the descriptor. Errors: a method gives false when the
// connection is over; why has been logged.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/server/request_handler.h"
#include "proto/frame.h"

namespace sluice {

class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(int fd, Transaction::Client number, RequestHandler& handler);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool on_readable();
  bool on_writable();

  int fd() const { return fd_; }
  bool wants_read() const { return !ending_ && !busy(); }
  bool wants_write() const { return !out_.empty(); }
  // Since when the client has taken nothing of what waits for it.
  Clock::time_point stalled_since() const { return progress_; }
  // Sends an error to the client and takes no more of its requests; sent as far as it goes at once.
  bool refuse(std::string_view why);
  const Session& session() const { return session_; }

 private:
  static constexpr std::size_t kRead = 64u << 10;     // Bytes per system call.
  static constexpr std::size_t kOutLimit = 1u << 20;  // No more replies are made beyond.

  bool busy() const { return stream_ != nullptr || out_.size() - sent_ >= kOutLimit; }
  // Answers what has been received, as far as there is room for replies, and sends.
  bool pump();
  void answer(std::string_view message);
  void add_reply(v1::Reply& reply);
  bool send();
  void log_end(const std::string& reason) const;

  int fd_;
  RequestHandler& handler_;
  Session session_;
  FrameDecoder decoder_;
  ReplyStream stream_;  // Of the request being answered.
  std::uint64_t request_id_ = 0;
  std::string out_;
  std::size_t sent_ = 0;  // Bytes of out_ the socket has taken.
  bool ending_ = false;   // Nothing more is read; over once out_ is sent.
  Clock::time_point progress_;
};

}  // namespace sluice
