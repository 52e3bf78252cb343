// The plain port's /admin: what a driver in another process does with the server.
#include <boost/json.hpp>

#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/server_state.h"

namespace sluice::test::kube {
namespace {

std::string text(const json::object& object, std::string_view name) {
  return text_at(object, {name});
}
double number(const json::object& object, std::string_view name, double otherwise) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_number() ? value->to_number<double>() : otherwise;
}
bool flag(const json::object& object, std::string_view name, bool otherwise) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_bool() ? value->get_bool() : otherwise;
}
std::size_t count(const json::object& object, std::string_view name, std::size_t otherwise) {
  const double value = number(object, name, static_cast<double>(otherwise));
  return value < 0 ? 0 : static_cast<std::size_t>(value);
}

Answer ok(json::object answer = {}) {
  return {200, json::serialize(answer) + "\n", 0};
}

bool read_fault(const json::object& object, Fault& fault) {
  static const std::map<std::string, Fault::Kind> kinds = {
      {"status", Fault::Kind::kStatus},    {"garbage", Fault::Kind::kGarbage},
      {"not-http", Fault::Kind::kNotHttp}, {"endless", Fault::Kind::kEndless},
      {"hang", Fault::Kind::kHang},        {"cut", Fault::Kind::kCut},
      {"delay", Fault::Kind::kDelay},      {"drop", Fault::Kind::kDrop}};
  const auto kind = kinds.find(text(object, "kind"));
  if (kind == kinds.end()) return false;
  fault.kind = kind->second;
  fault.status = static_cast<unsigned>(count(object, "status", 500));
  fault.retry_after_s = static_cast<unsigned>(count(object, "retry_after_s", 0));
  fault.bytes = count(object, "bytes", 0);
  fault.delay = std::chrono::milliseconds(count(object, "delay_ms", 0));
  fault.path = text(object, "path");
  fault.verb = text(object, "verb");
  fault.count = static_cast<std::int64_t>(number(object, "count", -1));
  return true;
}

// Everything there is, by type: {"services": [...], ..., "resourceVersion": "..."}.
Answer dump(const Store& store) {
  std::string body = "{\"resourceVersion\":\"" + std::to_string(store.version()) + "\"";
  for (const Resource& type : resources()) {
    body += ",\"" + qualified_plural(type) + "\":[";
    bool first = true;
    for (const auto& [key, object] : store.objects(type)) {
      body.append(first ? "" : ",").append(object->json);
      first = false;
    }
    body += "]";
  }
  return {200, body + "}\n", 0};
}

Answer writes(const Store& store) {
  json::array list;
  for (const Store::Write& write : store.writes()) {
    list.push_back(json::object{{"verb", write.verb},
                                {"manager", write.manager},
                                {"resource", qualified_plural(*write.place.resource)},
                                {"namespace", write.place.ns},
                                {"name", write.place.name},
                                {"status", write.status},
                                {"answer", write.answer},
                                {"resourceVersion", write.version}});
  }
  return ok({{"writes", std::move(list)}});
}

Answer stats(Server& server, std::size_t faults, const Load& load, const Store& store) {
  const Server::Counters counters = server.counters();
  const Load::Progress progress = load.progress();
  return ok(
      {{"requests", counters.requests},
       {"lists", counters.lists},
       {"watches", counters.watches},
       {"writes", counters.writes},
       {"events", counters.events},
       {"refused", counters.refused},
       {"open_watches", counters.open_watches},
       {"open_connections", counters.open_connections},
       {"resourceVersion", store.version()},
       {"oldest", store.oldest()},
       {"faults", faults},
       {"churn",
        {{"running", progress.running}, {"changes", progress.changes}, {"late", progress.late}}}});
}

Answer certificate(Server& server, const std::string& kind) {
  static const std::map<std::string, Certificate> kinds = {{"good", Certificate::kGood},
                                                           {"expired", Certificate::kExpired},
                                                           {"wrong-name", Certificate::kWrongName},
                                                           {"other-ca", Certificate::kOtherCa}};
  const auto found = kinds.find(kind);
  if (found == kinds.end()) return bad_request("kind: good, expired, wrong-name or other-ca");
  server.certificate(found->second);
  return ok();
}

Answer generate_objects(Store& store, const json::object& body) {
  GenerateOptions options;
  options.services = count(body, "services", options.services);
  options.endpoints_per_service =
      count(body, "endpoints_per_service", options.endpoints_per_service);
  options.namespaces = count(body, "namespaces", options.namespaces);
  options.nodes = std::max<std::size_t>(1, count(body, "nodes", options.nodes));
  options.three_port_share = number(body, "three_port_share", options.three_port_share);
  options.dual_stack_share = number(body, "dual_stack_share", options.dual_stack_share);
  options.slice_size = std::max<std::size_t>(1, count(body, "slice_size", options.slice_size));
  if (!text(body, "prefix").empty()) options.prefix = text(body, "prefix");
  generate(store, options);
  return ok({{"resourceVersion", store.version()}});
}

Answer churn(Load& load, const json::object& body) {
  ChurnOptions options;
  options.rate = number(body, "rate", options.rate);
  options.seconds = number(body, "seconds", options.seconds);
  options.seed = count(body, "seed", 1);
  load.start(options);
  return ok();
}

Answer replay(Server& server, const json::object& body) {
  Replay* replay = server.replay();
  if (replay == nullptr) return bad_request("no recordings are served");
  if (!text(body, "stage").empty()) replay->stage(text(body, "stage"));
  if (body.contains("hold_at")) replay->hold_at(count(body, "hold_at", 0));
  server.wake_watches();
  return ok();
}

}  // namespace

Answer admin(Server::State& state, const Request& request) {
  const Target target = parse_target(request.target);
  const std::string what = target.path.size() < 2 ? "" : target.path[1];
  Server& server = *state.server;
  if (request.method == "GET") {
    if (what == "dump") return dump(state.store);
    if (what == "stats") return stats(server, state.faults.size(), *state.load, state.store);
    if (what == "writes") return writes(state.store);
    return no_such_path();
  }
  if (request.method != "POST") return bad_request("/admin takes GET and POST");
  if (what == "rbac") {
    const Status loaded = state.access.load_manifests(request.body);
    return loaded ? ok() : bad_request(loaded.error());
  }
  json::object body;
  if (!request.body.empty()) {
    Result<json::object> parsed = parse_object(request.body);
    if (!parsed) return bad_request(parsed.error());
    body = std::move(*parsed);
  }
  if (what == "fault") {
    Fault fault;
    if (!read_fault(body, fault)) {
      return bad_request("kind: status, garbage, not-http, endless, hang, cut, delay or drop");
    }
    state.faults.add(std::move(fault));
    return ok();
  }
  if (what == "clear") return state.faults.clear(), server.wake_watches(), ok();
  if (what == "drop-watches") return server.drop_watches(flag(body, "cut", true)), ok();
  if (what == "drop-connections") return server.drop_connections(), ok();
  if (what == "compact") return state.store.compact(), ok();
  if (what == "restart") {
    server.restart(std::chrono::milliseconds(count(body, "down_ms", 0)));
    return ok();
  }
  if (what == "save") return state.store.save(text(body, "name")), ok();
  if (what == "restore") {
    if (!server.restore(text(body, "name"))) return bad_request("nothing saved by that name");
    return ok({{"resourceVersion", state.store.version()}});
  }
  if (what == "certificate") return certificate(server, text(body, "kind"));
  if (what == "token") {
    if (flag(body, "remove", false)) return state.access.remove_token(text(body, "token")), ok();
    User user{text(body, "user"), {}};
    if (!text(body, "group").empty()) user.groups.push_back(text(body, "group"));
    return state.access.add_token(text(body, "token"), std::move(user)), ok();
  }
  if (what == "forget-rules") return state.access.forget_rules(), ok();
  if (what == "generate") return generate_objects(state.store, body);
  if (what == "churn") return churn(*state.load, body);
  if (what == "replay") return replay(server, body);
  return no_such_path();
}

}  // namespace sluice::test::kube
