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

asio::awaitable<Status> MergedStatusWriter::recall() {
  std::vector<std::string> names;
  const Status scanned =
      co_await scan(redis_, keys::status_prefix(keys::kMergedStatus),
                    [&names](std::string key) { names.push_back(std::move(key)); });
  if (!scanned) co_return Error{scanned.error()};
  auto values = co_await fetch(redis_, names);
  if (!values) co_return Error{values.error()};
  // What Redis lost still tells since when things are as they are.
  for (auto& [key, written] : written_) written.sure = false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    v1::ServiceStatus status;
    Fetched& value = (*values)[i];
    if (value.state != Fetched::State::kPresent || !status.ParseFromString(value.bytes)) continue;
    StatusKey key{status.source(), status.namespace_(), status.name()};
    if (keys::status(keys::kMergedStatus, key.source, key.ns, key.name) != names[i]) continue;
    written_[std::move(key)] = {std::move(value.bytes), true};
  }
  co_return Ok{};
}

asio::awaitable<Status> MergedStatusWriter::update(const Leader& leader,
                                                   std::vector<v1::ServiceStatus> statuses,
                                                   std::vector<StatusKey> gone) {
  std::vector<ScriptCall> calls;
  std::vector<std::pair<StatusKey, std::string>> changed;  // Without bytes: gone.
  for (v1::ServiceStatus& status : statuses) {
    StatusKey key{status.source(), status.namespace_(), status.name()};
    std::string bytes = bytes_of(status);
    const auto before = written_.find(key);
    const bool known = before != written_.end() && before->second.sure;
    if (known && before->second.bytes == bytes) continue;
    calls.push_back(
        make_call(leader, key, bytes, tell(known ? &before->second.bytes : nullptr, status)));
    changed.emplace_back(std::move(key), std::move(bytes));
  }
  for (StatusKey& key : gone) {
    if (!written_.contains(key)) continue;
    calls.push_back(make_call(leader, key, {}, true));
    changed.emplace_back(std::move(key), std::string());
  }
  if (calls.empty()) co_return Ok{};

  const auto replies = co_await run_script(redis_, kMergedStatusScript, std::move(calls));
  if (!replies) co_return Error{replies.error()};
  Status result = Ok{};
  for (std::size_t i = 0; i < replies->size() && i < changed.size(); ++i) {
    if ((*replies)[i].is_error()) {
      result = Error{explain_error("script merged_status", (*replies)[i].text)};
      continue;
    }
    if (changed[i].second.empty()) {
      written_.erase(changed[i].first);
    } else {
      written_[changed[i].first] = {std::move(changed[i].second), true};
    }
  }
  co_return result;
}

std::optional<v1::ServiceStatus> MergedStatusWriter::last(const StatusKey& service) const {
  const auto at = written_.find(service);
  v1::ServiceStatus status;
  if (at == written_.end() || !status.ParseFromString(at->second.bytes)) return std::nullopt;
  return status;
}

std::vector<StatusKey> MergedStatusWriter::services() const {
  std::vector<StatusKey> services;
  for (const auto& [key, written] : written_) services.push_back(key);
  return services;
}

}  // namespace sluice::store
