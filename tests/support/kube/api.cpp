#include "tests/support/kube/api.h"

#include <algorithm>
#include <charconv>

#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/store_text.h"

namespace sluice::test::kube {
namespace {

constexpr const char* kExpiredContinue =
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first "
    "chunk was returned and now may show up in the list.";
constexpr std::chrono::seconds kDefaultWatch{2400};
constexpr std::int64_t kLatest = -1;  // In a continue token: go on in whatever there is now.

bool to_number(const std::string& text, std::uint64_t& out) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && rest == end;
}

Answer no_number(const std::string& text) {
  Answer answer = failure(500, "",
                          "resourceVersion: Invalid value: \"" + text +
                              "\": strconv.ParseUint: parsing \"" + text + "\": invalid syntax");
  return answer;
}

Answer list_options(const std::string& field, const std::string& why) {
  return invalid("meta.k8s.io", "ListOptions", "", {forbidden_value(field, why)});
}

struct Token {
  std::int64_t version = 0;
  std::string start;  // The first key that is not listed yet is after this one.
};

std::string encoded(const Token& token) {
  std::string start = token.start;
  start.push_back('\0');
  const json::object object{
      {"v", "meta.k8s.io/v1"}, {"rv", token.version}, {"start", std::move(start)}};
  return base64url(json::serialize(object));
}

bool decode(const std::string& text, Token& token) {
  std::string bytes;
  if (!from_base64url(text, bytes)) return false;
  const Result<json::object> object = parse_object(bytes);
  if (!object) return false;
  const json::value* version = object->if_contains("rv");
  if (version == nullptr || !version->is_int64()) return false;
  token.version = version->get_int64();
  token.start = text_at(*object, {"start"});
  while (!token.start.empty() && token.start.back() == '\0') token.start.pop_back();
  if (!token.start.empty() && token.start[0] == '/') token.start.erase(0, 1);
  return !token.start.empty();
}

// What selects objects is the same for a list and a watch.
Answer read_selection(const Target& target, const ResourcePath& path, WatchRequest& out) {
  out.resource = path.place.resource;
  out.ns = path.place.ns;
  out.name = path.place.name;
  Result<Selector> labels = Selector::parse(target.parameter("labelSelector"));
  Result<Selector> fields = Selector::parse(target.parameter("fieldSelector"));
  if (!labels) return bad_request(labels.error());
  if (!fields) return bad_request(fields.error());
  out.labels = std::move(*labels);
  out.fields = std::move(*fields);
  return {};
}

std::string item_of(const Stored& object, const Resource& resource) {
  const std::size_t prefix = std::string_view(R"({"kind":"","apiVersion":"",)").size() +
                             resource.kind.size() + api_version(resource).size();
  return "{" + object.json.substr(prefix);
}

std::string manager_of(const Request& request, const Target& target) {
  const std::string given = target.parameter("fieldManager");
  if (!given.empty()) return given;
  return request.user_agent.substr(0, request.user_agent.find('/'));
}

}  // namespace

bool selected(const WatchRequest& request, const Stored& object) {
  if (!request.ns.empty() && request.ns != object.ns) return false;
  if (!request.name.empty() && request.name != object.name) return false;
  if (!request.labels.matches(object.labels)) return false;
  return request.fields.empty() || request.fields.matches({{"metadata.name", object.name},
                                                           {"metadata.namespace", object.ns}});
}

Outcome Api::handle(const Request& request) {
  std::optional<User> user = User{"admin", {"system:masters"}};
  if (!request.trusted) {
    user = request.authorization.empty() && !request.certificate_user.name.empty()
               ? request.certificate_user
               : access_.authenticate(request.authorization);
  }
  if (!user) return {unauthorized(), false, std::nullopt};
  const Target target = parse_target(request.target);
  if (resource_path(target).place.resource == nullptr) {
    return {discovery(target), false, std::nullopt};
  }
  return resource_request(request, target, *user);
}

Outcome Api::resource_request(const Request& request, const Target& target, const User& user) {
  const ResourcePath path = resource_path(target);
  const std::string verb = verb_of(request, target, path);
  const Place& place = path.place;
  // A Namespace is authorized as something in itself.
  const std::string scope = place.resource->kind == "Namespace" ? place.name : place.ns;
  const std::string why =
      access_.check(user, {verb, place.resource, path.subresource, scope, place.name});
  if (!why.empty()) {
    return {forbidden(*place.resource, place.name, why), false, std::nullopt};
  }
  if (verb == "list") return list(target, path);
  if (verb == "watch") return watch(target, path);
  if (verb == "get") return {store_.get(place), false, std::nullopt};
  return {write(request, target, path, verb), false, std::nullopt};
}

Answer Api::write(const Request& request, const Target& target, const ResourcePath& path,
                  const std::string& verb) {
  WriteOptions options;
  options.manager = manager_of(request, target);
  options.status = path.subresource == "status";
  options.dry_run = target.parameter("dryRun") == "All";
  options.force = target.flag("force");
  const std::string type = request.content_type.substr(0, request.content_type.find(';'));
  const bool is_json = type.empty() || type == "application/json";
  const Answer unsupported = failure(
      415, "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: "
      "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
  if (verb == "create" || verb == "update") {
    if (!is_json) return unsupported;
    return verb == "create" ? store_.create(path.place, request.body, options)
                            : store_.update(path.place, request.body, options);
  }
  if (verb == "delete") return store_.remove(path.place, request.body);
  if (verb != "patch") {
    return failure(405, "MethodNotAllowed",
                   "the server does not allow this method on the requested resource");
  }
  if (type == "application/merge-patch+json") {
    return store_.patch(path.place, PatchType::kMerge, request.body, options);
  }
  if (type == "application/strategic-merge-patch+json") {
    return store_.patch(path.place, PatchType::kStrategicMerge, request.body, options);
  }
  if (type == "application/json-patch+json") {
    return store_.patch(path.place, PatchType::kJson, request.body, options);
  }
  if (type != "application/apply-patch+yaml") return unsupported;
  options.manager = target.parameter("fieldManager");  // Not from the User-Agent.
  return store_.patch(path.place, PatchType::kApply, request.body, options);
}

Outcome Api::list(const Target& target, const ResourcePath& path) {
  WatchRequest selection;
  if (Answer wrong = read_selection(target, path, selection); !wrong.ok()) {
    return {wrong, false, std::nullopt};
  }
  const auto refuse = [](Answer answer) { return Outcome{std::move(answer), false, std::nullopt}; };
  const std::string wanted = target.parameter("resourceVersion");
  const std::string match = target.parameter("resourceVersionMatch");
  const std::string going_on = target.parameter("continue");
  std::uint64_t limit = 0, version = store_.version();
  to_number(target.parameter("limit"), limit);
  if (wanted == "0") limit = 0;  // From the watch cache, which has no pages.
  std::uint64_t given = 0;
  if (!wanted.empty() && !to_number(wanted, given)) return refuse(no_number(wanted));
  if (given > store_.version()) {
    return refuse(future_version(wanted, std::to_string(store_.version())));
  }
  if (!match.empty() && wanted.empty()) {
    return refuse(
        list_options("resourceVersionMatch",
                     "resourceVersionMatch is forbidden unless resourceVersion is provided"));
  }
  Token token;
  if (!going_on.empty()) {
    if (!decode(going_on, token)) {
      return refuse(
          bad_request("invalid continue token: continue key is not valid: illegal base64 data at "
                      "input byte 4"));
    }
    if (given != 0) {
      return refuse(bad_request("specifying resource version is not allowed when using continue"));
    }
    if (token.version != kLatest) version = static_cast<std::uint64_t>(token.version);
  } else if (match == "Exact") {
    version = given;
  }
  Objects then;
  const Resource& resource = *path.place.resource;
  const bool now = version == store_.version();
  if (!now && !store_.objects_at(resource, version, then)) {
    return refuse(going_on.empty()
                      ? expired("The resourceVersion for the provided list is too old.")
                      : expired(kExpiredContinue, encoded({kLatest, token.start})));
  }
  const Objects& all = now ? store_.objects(resource) : then;
  std::string items, next;
  std::uint64_t count = 0, remaining = 0;
  for (auto object = all.upper_bound(token.start); object != all.end(); ++object) {
    if (!selected(selection, *object->second)) continue;
    if (limit != 0 && count == limit) {
      ++remaining;
      continue;
    }
    items += (count++ == 0 ? "" : ",") + item_of(*object->second, resource);
    next = object->first;
  }
  json::object metadata{{"resourceVersion", std::to_string(version)}};
  if (remaining > 0) {
    metadata["continue"] = encoded({static_cast<std::int64_t>(version), next});
    if (selection.labels.empty() && selection.fields.empty()) {
      metadata["remainingItemCount"] = remaining;
    }
  }
  std::string body = "{\"kind\":\"" + std::string(resource.kind) + "List\",\"apiVersion\":\"" +
                     api_version(resource) + "\",\"metadata\":" + json::serialize(metadata) +
                     ",\"items\":[" + items + "]}\n";
  return {{200, std::move(body), 0}, true, std::nullopt};
}

Outcome Api::watch(const Target& target, const ResourcePath& path) {
  WatchRequest request;
  if (Answer wrong = read_selection(target, path, request); !wrong.ok()) {
    return {wrong, false, std::nullopt};
  }
  const auto refuse = [](Answer answer) { return Outcome{std::move(answer), false, std::nullopt}; };
  const std::string wanted = target.parameter("resourceVersion");
  const std::string match = target.parameter("resourceVersionMatch");
  const bool streaming = target.parameters.contains("sendInitialEvents");
  if (streaming && !watch_list_) {
    return refuse(list_options("sendInitialEvents",
                               "sendInitialEvents is forbidden for watch unless the WatchList "
                               "feature gate is enabled"));
  }
  if (streaming && match != "NotOlderThan") {
    return refuse(list_options("resourceVersionMatch",
                               "sendInitialEvents requires setting resourceVersionMatch to "
                               "NotOlderThan"));
  }
  if (!streaming && !match.empty()) {
    return refuse(list_options("resourceVersionMatch",
                               "resourceVersionMatch is forbidden for watch unless "
                               "sendInitialEvents is provided"));
  }
  if (!wanted.empty() && !to_number(wanted, request.version)) return refuse(no_number(wanted));
  const bool initial = target.flag("sendInitialEvents");
  request.initial = streaming ? initial : request.version == 0;
  request.bookmarks = target.flag("allowWatchBookmarks");
  request.initial_end = initial && request.bookmarks;
  if (request.initial) request.version = store_.version();
  std::uint64_t seconds = 0;
  to_number(target.parameter("timeoutSeconds"), seconds);
  request.timeout = seconds == 0
                        ? kDefaultWatch
                        : std::chrono::seconds(std::min<std::uint64_t>(seconds, 24 * 3600));
  return {{}, false, std::move(request)};
}

}  // namespace sluice::test::kube
