#include "control/agent/source_writer.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "control/store/claim.h"
#include "control/store/objects.h"

namespace sluice::agent {

namespace asio = boost::asio;

bool fenced(const std::string& error) {
  return error.find("FENCED") != std::string::npos;
}

SourceWriter::SourceWriter(store::Redis& redis, const ClusterCache& cache, std::string source,
                           std::uint64_t token, std::string writer)
    : redis_(redis),
      cache_(cache),
      source_(std::move(source)),
      token_(token),
      publisher_(redis, source_, token, std::move(writer)) {}

asio::awaitable<Result<std::uint64_t>> SourceWriter::claim() {
  co_return co_await store::claim_source(redis_, source_, token_);
}

// What must not be taken for absent: objects that were never usable here, and, where a list had an
// object whose name could not be read, all that Redis has. They stay as Redis has them.
asio::awaitable<Status> SourceWriter::keep_unusable(store::PutList* objects) {
  std::set<ObjectKey> kept;
  cache_.for_each([&](const ObjectKey& key, const CachedObject& object) {
    if (!object.bytes) kept.insert(key);
  });
  store::Listing found;
  if (!kept.empty()) {
    std::vector<ObjectKey> keys(kept.begin(), kept.end());
    auto there = co_await store::get_objects(redis_, std::move(keys));
    if (!there) co_return Error{there.error()};
    found = std::move(*there);
  }
  for (const v1::Kind kind : kPublishedKinds) {
    if (cache_.absence_proven(kind)) continue;
    auto there = co_await store::list_objects(redis_, source_, kind);
    if (!there) co_return Error{there.error()};
    for (store::StoredObject& object : there->objects) {
      if (cache_.find(object.key) == nullptr) found.objects.push_back(std::move(object));
    }
  }
  store::ObjectList list;
  for (store::StoredObject& object : found.objects) {
    list.push_back(std::make_shared<const v1::Object>(std::move(object.object)));
  }
  store::PutList kept_list = store::to_put(source_, std::move(list));
  std::ranges::move(kept_list, std::back_inserter(*objects));
  co_return Ok{};
}

asio::awaitable<Result<store::PublishReport>> SourceWriter::publish_all() {
  const std::string cluster_uid = cache_.cluster_uid();
  if (cluster_uid.empty()) {
    co_return Error{
        "the cluster shows no namespace kube-system, whose UID tells it from others: may the agent "
        "list namespaces?"};
  }
  store::PutList objects;
  const Status kept = co_await keep_unusable(&objects);
  if (!kept) co_return Error{kept.error()};
  cache_.for_each([&](const ObjectKey& key, const CachedObject& object) {
    if (object.bytes) objects.push_back({key, object.uid, nullptr, object.bytes});
  });
  std::vector<v1::Kind> kinds(kPublishedKinds.begin(), kPublishedKinds.end());
  co_return co_await publisher_.publish_all(std::move(kinds), std::move(objects), cluster_uid);
}

asio::awaitable<Result<std::size_t>> SourceWriter::publish(
    const std::vector<PendingChange>& changes) {
  store::PutList objects;
  std::vector<ObjectKey> gone;
  store::Arrivals put_arrivals, gone_arrivals;
  const auto clock = std::chrono::system_clock::now();
  const auto steady = std::chrono::steady_clock::now();
  for (const PendingChange& change : changes) {
    const CachedObject* object = cache_.find(change.key);
    const auto waited =
        std::chrono::duration_cast<std::chrono::system_clock::duration>(steady - change.arrived);
    if (object == nullptr) {
      gone.push_back(change.key);
      gone_arrivals.push_back(clock - waited);
    } else if (object->bytes) {
      objects.push_back({change.key, object->uid, nullptr, object->bytes});
      put_arrivals.push_back(clock - waited);
    }
  }
  std::size_t count = 0;
  std::vector<store::Change> done;
  if (!objects.empty()) {
    auto put = co_await publisher_.upsert(std::move(objects), std::move(put_arrivals));
    if (!put) co_return Error{put.error()};
    done = std::move(*put);
  }
  if (!gone.empty()) {
    auto removed = co_await publisher_.remove(std::move(gone), std::move(gone_arrivals));
    if (!removed) co_return Error{removed.error()};
    done.insert(done.end(), removed->begin(), removed->end());
  }
  for (const store::Change change : done) {
    if (change != store::Change::kUnchanged && change != store::Change::kAbsent) ++count;
  }
  co_return count;
}

asio::awaitable<Result<std::string>> SourceWriter::check() {
  auto standing = co_await publisher_.check();
  if (!standing) co_return Error{standing.error()};
  co_return standing->intact ? std::string() : standing->reason;
}

}  // namespace sluice::agent
