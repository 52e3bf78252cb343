#include "control/store/merged_status.h"

#include <google/protobuf/util/message_differencer.h>

#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"
#include "control/store/scripts.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

std::string bytes_of(v1::ServiceStatus status) {
  status.mutable_header()->set_major(kMajor);
  status.mutable_header()->set_minor(kMinor);
  status.clear_gateway();
  return encode(status);
}

ScriptCall make_call(const Leader& leader, const StatusKey& key, std::string bytes, bool tell) {
  ScriptCall call;
  call.keys.push_back(std::string(keys::kLeader));
  call.keys.push_back(keys::status_stream(key.source));
  call.keys.push_back(keys::status(keys::kMergedStatus, key.source, key.ns, key.name));
  call.arguments.push_back(leader.instance);
  call.arguments.push_back(std::to_string(leader.token));
  call.arguments.push_back(key.ns + "/" + key.name);
  call.arguments.push_back(std::move(bytes));
  call.arguments.push_back(tell ? "1" : "");
  call.arguments.push_back(random_id());
  return call;
}

bool tell(const std::string* before, const v1::ServiceStatus& after) {
  v1::ServiceStatus old;
  return !before || !old.ParseFromString(*before) || worth_telling(old, after);
}

}  // namespace

bool worth_telling(const v1::ServiceStatus& before, const v1::ServiceStatus& after) {
  v1::ServiceStatus a = before, b = after;
  for (v1::ServiceStatus* status : {&a, &b}) {
    status->clear_header();
    status->clear_backends();
    status->clear_draining();
  }
  return !google::protobuf::util::MessageDifferencer::Equals(a, b);
}

asio::awaitable<Result<std::map<StatusKey, v1::ServiceStatus>>> MergedStatusWriter::recall() {
  std::vector<std::string> names;
  const Status scanned =
      co_await scan(redis_, keys::status_prefix(keys::kMergedStatus),
                    [&names](std::string key) { names.push_back(std::move(key)); });
  if (!scanned) co_return Error{scanned.error()};
  auto values = co_await fetch(redis_, names);
  if (!values) co_return Error{values.error()};
  written_.clear();
  std::map<StatusKey, v1::ServiceStatus> statuses;
  for (std::size_t i = 0; i < names.size(); ++i) {
    v1::ServiceStatus status;
    Fetched& value = (*values)[i];
    if (value.state != Fetched::State::kPresent || !status.ParseFromString(value.bytes)) continue;
    StatusKey key{status.source(), status.namespace_(), status.name()};
    if (keys::status(keys::kMergedStatus, key.source, key.ns, key.name) != names[i]) continue;
    written_[key] = std::move(value.bytes);
    statuses[std::move(key)] = std::move(status);
  }
  co_return statuses;
}

asio::awaitable<Status> MergedStatusWriter::write(const Leader& leader,
                                                  std::vector<v1::ServiceStatus> statuses) {
  std::map<StatusKey, std::string> wanted;
  std::vector<ScriptCall> calls;
  std::vector<StatusKey> changed;
  for (v1::ServiceStatus& status : statuses) {
    StatusKey key{status.source(), status.namespace_(), status.name()};
    std::string bytes = bytes_of(status);
    const auto before = written_.find(key);
    const std::string* old = before == written_.end() ? nullptr : &before->second;
    if (!old || *old != bytes) {
      calls.push_back(make_call(leader, key, bytes, tell(old, status)));
      changed.push_back(key);
    }
    wanted[std::move(key)] = std::move(bytes);
  }
  for (const auto& [key, bytes] : written_) {
    if (wanted.contains(key)) continue;
    calls.push_back(make_call(leader, key, {}, true));
    changed.push_back(key);
  }
  if (calls.empty()) co_return Ok{};

  const auto replies = co_await run_script(redis_, kMergedStatusScript, std::move(calls));
  if (!replies) co_return Error{replies.error()};
  Status result = Ok{};
  for (std::size_t i = 0; i < replies->size(); ++i) {
    if ((*replies)[i].is_error()) {
      result = Error{explain_error("script merged_status", (*replies)[i].text)};
      continue;
    }
    const auto now = wanted.find(changed[i]);
    if (now == wanted.end()) {
      written_.erase(changed[i]);
    } else {
      written_[changed[i]] = std::move(now->second);
    }
  }
  co_return result;
}

}  // namespace sluice::store
