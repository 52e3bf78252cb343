#include "dataplane/server/reply_stream.h"

#include <utility>

namespace sluice {

ReplyStream one_reply(v1::Reply reply) {
  return [reply = std::move(reply)](v1::Reply& out) {
    out = reply;
    return false;
  };
}

ReplyStream refusal(std::string why) {
  v1::Reply reply;
  reply.set_error(std::move(why));
  return one_reply(std::move(reply));
}

ReplyStream chunked(v1::Reply head, std::size_t count,
                    std::function<std::size_t(v1::Reply&, std::size_t)> add) {
  return [head = std::move(head), count, add = std::move(add),
          at = std::size_t{0}](v1::Reply& out) mutable {
    out = head;
    for (std::size_t bytes = 0; at < count && bytes < kReplyBytes; ++at) bytes += add(out, at);
    return at < count;
  };
}

}  // namespace sluice
