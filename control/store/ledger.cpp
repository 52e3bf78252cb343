#include "control/store/ledger.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/scripts.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxCopyBytes = 32u << 20;
constexpr int kCopySeconds = 120;
constexpr std::size_t kMaxProblems = 100;
constexpr int kMaxAttempts = 8;

Result<v1::Address> decode_record(const IpAddress& address, const std::string& bytes) {
  v1::Address record;
  if (!record.ParseFromString(bytes)) return Error{"its value is not an Address message"};
  if (record.address() != address.bytes()) return Error{"its value is of another address"};
  return record;
}

// What two gateways remember of one address: the later write; of equal ones the same on every
// gateway.
bool newer(const v1::Address& a, const v1::Address& b) {
  if (a.revision() != b.revision()) return a.revision() > b.revision();
  if (a.holders().empty() != b.holders().empty()) return b.holders().empty();
  return encode(a) > encode(b);
}

void merge(const v1::Address& record, std::map<IpAddress, v1::Address>* into) {
  const auto address = IpAddress::from_bytes(record.address());
  if (!address || record.revision() == 0) return;
  const auto [place, added] = into->try_emplace(*address, record);
  if (!added && newer(record, place->second)) place->second = record;
}

ScriptCall make_call(const Leader& leader) {
  ScriptCall call;
  call.keys = {std::string(keys::kLeader), std::string(keys::kLedger),
               std::string(keys::kAddressIndex), std::string(keys::kStream)};
  call.arguments = {leader.instance, std::to_string(leader.token)};
  return call;
}

std::vector<RedisCommand> index_commands() {
  const RedisCommand head{"HMGET", std::string(keys::kLedger), "incarnation", "sequence", "ready"};
  return {head, {"HGETALL", std::string(keys::kAddressIndex)}, head};
}

}  // namespace

// The ledger's hash and index, read together.
struct Ledger::Index {
  std::string incarnation;
  std::uint64_t sequence = 0;
  bool ready = false;
  std::map<IpAddress, std::uint64_t> revisions;
  std::vector<Problem> problems;
};

Ledger::Ledger(Redis& redis) : redis_(redis) {}

void Ledger::load(const v1::DiskState& disk) {
  incarnation_ = disk.incarnation();
  sequence_ = disk.ledger_sequence();
  for (const v1::Address& record : disk.addresses()) merge(record, &records_);
}

void Ledger::save(v1::DiskState* disk) const {
  disk->set_incarnation(incarnation_);
  disk->set_ledger_sequence(sequence_);
  disk->clear_addresses();
  for (const auto& [address, record] : records_) *disk->add_addresses() = record;
}

// The head before and after the index: equal, nothing was written in between. No transaction, since a
// Redis that is full refuses to queue one.
asio::awaitable<Result<Ledger::Index>> Ledger::read_index() {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    auto replies = co_await redis_.pipeline(index_commands());
    if (!replies) co_return Error{replies.error()};
    for (const RedisValue& part : *replies) {
      if (part.is_error()) co_return Error{explain_error("reading the ledger", part.text)};
      if (!part.is_array()) co_return Error{"Redis answered for the ledger with no list"};
    }
    const RedisValue &before = replies->at(0), &after = replies->at(2);
    bool same = true;
    for (std::size_t i = 0; i < 3; ++i) same = same && before.at(i).text == after.at(i).text;
    if (same) co_return parse_index(after, replies->at(1));
  }
  co_return Error{"the ledger changed faster than it could be read"};
}

Ledger::Index Ledger::parse_index(const RedisValue& head, const RedisValue& revisions) {
  Index index;
  index.incarnation = head.at(0).text;
  index.sequence = keys::parse_number(head.at(1).text).value_or(0);
  index.ready = head.at(2).text == "1";
  const std::vector<RedisValue>& fields = revisions.elements;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const auto address = IpAddress::parse(fields[i].text);
    const auto revision = keys::parse_number(fields[i + 1].text);
    if (address && revision) {
      index.revisions[*address] = *revision;
    } else if (index.problems.size() < kMaxProblems) {
      index.problems.push_back({std::string(keys::kAddressIndex),
                                "its field " + fields[i].text + " is not an address's revision"});
    }
  }
  return index;
}

// Records are never deleted and revisions only grow: whatever else Redis shows has lost writes.
bool Ledger::lacks_known(const std::map<IpAddress, std::uint64_t>& revisions) const {
  return std::ranges::any_of(records_, [&](const auto& item) {
    const auto found = revisions.find(item.first);
    return found == revisions.end() || found->second < item.second.revision();
  });
}

asio::awaitable<Status> Ledger::refresh() {
  auto index = co_await read_index();
  if (!index) co_return Error{index.error()};
  problems_ = std::move(index->problems);
  stale_ = false;
  if (index->incarnation.empty() || !index->ready || lacks_known(index->revisions)) {
    state_ = LedgerState::kRebuild;
    co_return Ok{};
  }
  const Status read = co_await read_changed(std::move(index->revisions));
  if (!read) {
    stale_ = true;
    co_return read;
  }
  incarnation_ = index->incarnation;
  sequence_ = index->sequence;
  state_ = LedgerState::kReady;
  co_return Ok{};
}

asio::awaitable<Status> Ledger::read_changed(std::map<IpAddress, std::uint64_t> revisions) {
  std::vector<IpAddress> changed;
  std::vector<std::string> names;
  for (const auto& [address, revision] : revisions) {
    const auto known = records_.find(address);
    if (known != records_.end() && known->second.revision() >= revision) continue;
    changed.push_back(address);
    names.push_back(keys::address(address));
  }
  auto values = co_await fetch(redis_, names);
  if (!values) co_return Error{values.error()};
  unreadable_.clear();
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const Fetched& value = (*values)[i];
    Result<v1::Address> record = Error{value.problem};
    if (value.state == Fetched::State::kAbsent) record = Error{"it is in the index, but not there"};
    if (value.state == Fetched::State::kPresent) record = decode_record(changed[i], value.bytes);
    if (record && record->revision() < revisions[changed[i]]) {
      record = Error{"it is older than the index says"};
    }
    if (record) {
      records_[changed[i]] = std::move(*record);
      continue;
    }
    if (!records_.contains(changed[i])) unreadable_.push_back(changed[i]);
    if (problems_.size() < kMaxProblems) problems_.push_back({names[i], record.error()});
  }
  co_return Ok{};
}

asio::awaitable<Status> Ledger::apply(const Leader& leader, std::vector<v1::Address> records) {
  if (records.empty()) co_return Ok{};
  if (state_ != LedgerState::kReady) co_return Error{"the ledger is not ready for grants"};
  if (records.size() > kMaxApply) {
    co_return Error{"at most " + std::to_string(kMaxApply) + " addresses change at once"};
  }
  ScriptCall call = make_call(leader);
  call.arguments.push_back(incarnation_);
  call.arguments.push_back(std::to_string(sequence_));
  Records changed;
  for (v1::Address& record : records) {
    const auto address = IpAddress::from_bytes(record.address());
    if (!address || record.revision() == 0 || changed.contains(*address)) {
      co_return Error{"not a record of the ledger: bad address, no revision, or given twice"};
    }
    call.keys.push_back(keys::address(*address));
    call.arguments.push_back(address->text());
    call.arguments.push_back(std::to_string(record.revision() - 1));
    call.arguments.push_back(std::to_string(record.revision()));
    call.arguments.push_back(encode(record));
    changed[*address] = std::move(record);
  }
  stale_ = true;  // Until it is known that it was written.
  auto reply = co_await run_script_once(redis_, kLedgerApplyScript, std::move(call));
  if (!reply) co_return Error{reply.error()};
  const auto sequence = keys::parse_number(reply->text);
  if (!sequence) co_return Error{"the ledger's sequence is not a number"};
  sequence_ = *sequence;
  for (auto& [address, record] : changed) records_[address] = std::move(record);
  stale_ = false;
  co_return Ok{};
}

asio::awaitable<Status> Ledger::offer_copy(const std::string& gateway, std::uint64_t maglev_seed) {
  if (!keys::valid_name(gateway)) co_return Error{"\"" + gateway + "\" is not a gateway's name"};
  v1::DiskState copy;
  copy.mutable_header()->set_major(kMajor);
  save(&copy);
  copy.set_maglev_seed(maglev_seed);
  RedisCommand command;
  command.push_back("SET");
  command.push_back(keys::ledger_copy(gateway));
  command.push_back(encode(copy));
  command.push_back("EX");
  command.push_back(std::to_string(kCopySeconds));
  if (command[2].size() > kMaxCopyBytes) co_return Error{"the ledger's copy is too large"};
  auto reply = co_await redis_.command(std::move(command));
  if (!reply) co_return Error{reply.error()};
  co_return Ok{};
}

// What this gateway, Redis and the other gateways' copies remember.
asio::awaitable<Status> Ledger::collect(Records* merged, RebuildReport* report) {
  for (const auto& [address, record] : records_) merge(record, merged);
  auto index = co_await read_index();
  if (!index) co_return Error{index.error()};
  std::vector<IpAddress> addresses;
  std::vector<std::string> names;
  for (const auto& [address, revision] : index->revisions) {
    addresses.push_back(address);
    names.push_back(keys::address(address));
  }
  auto values = co_await fetch(redis_, names);
  if (!values) co_return Error{values.error()};
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const Result<v1::Address> record = decode_record(addresses[i], (*values)[i].bytes);
    if (record) merge(*record, merged);
  }
  auto gateways = co_await list_set(redis_, std::string(keys::kGateways), keys::valid_name);
  if (!gateways) co_return Error{gateways.error()};
  names.clear();
  for (const std::string& gateway : *gateways) names.push_back(keys::ledger_copy(gateway));
  auto copies = co_await fetch(redis_, names, kMaxCopyBytes);
  if (!copies) co_return Error{copies.error()};
  for (std::size_t i = 0; i < copies->size(); ++i) {
    v1::DiskState copy;
    if ((*copies)[i].state != Fetched::State::kPresent) continue;
    if (!copy.ParseFromString((*copies)[i].bytes) || copy.header().major() != kMajor) continue;
    for (const v1::Address& record : copy.addresses()) merge(record, merged);
    if (copy.maglev_seed() != 0) report->maglev_seed = copy.maglev_seed();
    report->gateways.push_back((*gateways)[i]);
  }
  co_return Ok{};
}

asio::awaitable<Status> Ledger::put_records(const Leader& leader, const std::string& incarnation,
                                            const Records& records) {
  std::vector<ScriptCall> calls;
  for (const auto& [address, record] : records) {
    if (calls.empty() || calls.back().keys.size() >= 4 + kMaxApply) {
      calls.push_back(make_call(leader));
      calls.back().arguments.push_back("put");
      calls.back().arguments.push_back(incarnation);
    }
    calls.back().keys.push_back(keys::address(address));
    calls.back().arguments.push_back(address.text());
    calls.back().arguments.push_back(std::to_string(record.revision()));
    calls.back().arguments.push_back(encode(record));
  }
  auto replies = co_await run_script(redis_, kLedgerRebuildScript, std::move(calls));
  if (!replies) co_return Error{replies.error()};
  for (const RedisValue& reply : *replies) {
    if (reply.is_error()) co_return Error{explain_error("script ledger_rebuild", reply.text)};
  }
  co_return Ok{};
}

asio::awaitable<Result<RebuildReport>> Ledger::rebuild(const Leader& leader) {
  RebuildReport report;
  const std::string incarnation = random_id();
  ScriptCall begin = make_call(leader);
  begin.arguments.push_back("begin");
  begin.arguments.push_back(incarnation);
  auto begun = co_await run_script_once(redis_, kLedgerRebuildScript, std::move(begin));
  if (!begun) co_return Error{begun.error()};
  Records merged;
  Status status = co_await collect(&merged, &report);
  if (status) status = co_await put_records(leader, incarnation, merged);
  if (!status) co_return Error{status.error()};
  ScriptCall end = make_call(leader);
  end.arguments.push_back("end");
  end.arguments.push_back(incarnation);
  auto ended = co_await run_script_once(redis_, kLedgerRebuildScript, std::move(end));
  if (!ended) co_return Error{ended.error()};
  report.restored = merged.size();
  records_ = std::move(merged);
  status = co_await refresh();
  if (!status) co_return Error{status.error()};
  co_return report;
}

}  // namespace sluice::store
