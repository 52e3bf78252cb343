// ReplyStream: the replies to one request, made one at a time, so that a long answer needs no more
// memory than the client takes off the socket. Thread: the server's. Ownership: the stream keeps
// alive what it reads from.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "dataplane.pb.h"

namespace sluice {

// Fills in the next reply (but for id and more); false: it was the last.
using ReplyStream = std::function<bool(v1::Reply&)>;

inline constexpr std::size_t kReplyBytes = 512u << 10;  // A reply is closed once it has so many.

ReplyStream one_reply(v1::Reply reply);
ReplyStream refusal(std::string why);

// Replies that begin as copies of `head`, with items 0 to count - 1 spread over them. add() appends
// one and returns its size in bytes.
ReplyStream chunked(v1::Reply head, std::size_t count,
                    std::function<std::size_t(v1::Reply&, std::size_t)> add);

}  // namespace sluice
