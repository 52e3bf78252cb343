// Store: the objects of the fake API server, by the real one's rules: one increasing
// resourceVersion, optimistic locking, defaults, validation, subresources, finalizers, server-side
// apply, a bounded history for watches.
// Ownership: objects are immutable and shared with whoever reads them. Thread: one.
// Errors: an Answer with the status and text of the real server.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/kube/answer.h"
#include "tests/support/kube/resource.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace sluice::test::kube {

struct Allocator;
using Labels = std::vector<std::pair<std::string, std::string>>;

struct Stored {
  std::string ns;  // Empty: cluster-scoped.
  std::string name;
  std::string uid;
  std::uint64_t version = 0;
  Labels labels;
  bool deleting = false;  // Has a deletionTimestamp.
  std::string json;       // The whole object, kind and apiVersion first.
};
using StoredPtr = std::shared_ptr<const Stored>;
using Objects = std::map<std::string, StoredPtr, std::less<>>;  // By "namespace/name" or "name".

enum class ChangeType { kAdded, kModified, kDeleted };
struct Change {
  std::uint64_t version = 0;
  const Resource* resource = nullptr;
  ChangeType type = ChangeType::kAdded;
  StoredPtr object;  // Of a deletion: the last state, with the deletion's resourceVersion.
  StoredPtr before;  // Null for kAdded.
};

enum class PatchType { kMerge, kStrategicMerge, kJson, kApply };

struct WriteOptions {
  std::string manager = "test";  // Field manager.
  bool status = false;           // The subresource status.
  bool dry_run = false;
  bool force = false;  // Server-side apply: takes fields over.
};

// Where an object is.
struct Place {
  const Resource* resource = nullptr;
  std::string ns;
  std::string name;
};

class Store {
 public:
  explicit Store(std::size_t history = 100'000);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // The API's verbs. Bodies are JSON texts (server-side apply: YAML too).
  Answer get(const Place& place) const;
  Answer create(const Place& place, const std::string& body, const WriteOptions& options = {});
  Answer update(const Place& place, const std::string& body, const WriteOptions& options = {});
  Answer patch(const Place& place, PatchType type, const std::string& body,
               const WriteOptions& options = {});
  // `body`: DeleteOptions, may be empty; its preconditions are checked.
  Answer remove(const Place& place, const std::string& body = "");

  // Shorthands for tests: a whole object; kind and metadata say where it goes.
  Answer create(const std::string& json);
  Answer update(const std::string& json);

  StoredPtr find(const Place& place) const;
  const Objects& objects(const Resource& resource) const;
  // As of `version`; false: older than the history, or in the future.
  bool objects_at(const Resource& resource, std::uint64_t version, Objects& out) const;

  std::uint64_t version() const { return version_; }
  // The oldest resourceVersion a watch can start from.
  std::uint64_t oldest() const { return oldest_; }
  // Changes after `version`, oldest first, at most `limit`; false: the history does not reach
  // there.
  bool changes_after(std::uint64_t version, std::size_t limit, std::vector<Change>& out) const;
  // Called after every change, on the store's thread.
  void on_change(std::function<void()> call) { changed_ = std::move(call); }

  // Forgets the history: watches from before now, and lists with an old continue token, get 410.
  void compact();
  // The whole state by name, and back to it (resourceVersion too), as from a backup of etcd.
  void save(const std::string& name);
  bool restore(const std::string& name);

  // Writes an object as it stands: no rules, no managedFields, for generating many quickly.
  // `object` needs metadata.name; uid, resourceVersion and creationTimestamp are filled in.
  void put_raw(const Resource& resource, boost::json::object object);

  // Every write answered, newest last, bounded; for tests that count writes.
  struct Write {
    std::string verb, manager;
    Place place;
    bool status = false;
    unsigned answer = 0;
    std::uint64_t version = 0;
  };
  const std::deque<Write>& writes() const { return writes_; }

 private:
  struct Saved;
  struct Draft;  // A write on its way (store_write.cpp).

  void bootstrap();
  StoredPtr commit(const Resource& resource, ChangeType type, boost::json::object object,
                   const StoredPtr& before);
  Answer create_object(const Place& place, boost::json::object object, const WriteOptions& options);
  Answer replace(const Place& place, Draft draft, const WriteOptions& options);
  Answer patched(const Place& place, PatchType type, const std::string& body,
                 const WriteOptions& options);
  Answer apply(const Place& place, const std::string& body, const WriteOptions& options);
  Answer removed(const Place& place, const std::string& body);
  Answer mark_deleted(const Place& place, const StoredPtr& before, boost::json::object object);
  Answer check_namespace(const Place& place) const;
  // Ends an object's life, and what it owned; the object as it was last.
  StoredPtr erase(const Resource& resource, const StoredPtr& before, boost::json::object object);
  void remove_dependents(const Stored& owner);
  void empty_namespace(const std::string& ns);
  bool node_port_in_use(int port, const Place& but) const;
  Allocator allocator_for(const Place& place);  // `place` must outlive it.
  Answer log(const char* verb, const Place& place, const WriteOptions& options, Answer answer);

  std::size_t history_limit_;
  std::uint64_t version_ = 0;
  std::uint64_t oldest_ = 0;
  std::map<const Resource*, Objects> objects_;
  std::deque<Change> history_;
  std::deque<Write> writes_;
  std::map<std::string, std::shared_ptr<Saved>> saved_;
  std::function<void()> changed_;
  std::uint64_t next_address_ = 1;
  std::uint64_t next_node_port_ = 0;
};

}  // namespace sluice::test::kube
