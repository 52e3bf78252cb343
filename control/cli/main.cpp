// sluice: the command line of everything.
#include <CLI/CLI.hpp>
#include <csignal>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "config/gateway_config.h"
#include "control/cli/admin_commands.h"
#include "control/cli/apply.h"
#include "control/cli/context.h"
#include "control/cli/dataplane_commands.h"
#include "control/cli/describe.h"
#include "control/cli/duration.h"
#include "control/cli/get.h"
#include "control/cli/resource.h"
#include "control/cli/source_commands.h"

namespace sluice {
namespace {

// What a parsed command line asks for; set by the subcommand's callback.
using Action = std::function<int(Context&)>;

constexpr const char* kExitCodes =
    "Exit codes: 0 done; 1 refused, not found, not reachable or timed out; 2 not understood.\n"
    "diff: 0 no difference, 1 differences, 2 an error.";

void add_manifests(CLI::App& command, ManifestSources& manifests) {
  command
      .add_option("-f,--filename", manifests.files, "File, directory, or - for stdin; repeatable")
      ->expected(1)
      ->take_all();
  command.add_flag("-R,--recursive", manifests.recursive, "Directories with all below them");
}

void add_namespace(CLI::App& command, std::string& ns) {
  command.add_option("-n,--namespace", ns, "Namespace (default: default)");
}

void add_selector(CLI::App& command, std::string& selector) {
  command.add_option("-l,--selector", selector,
                     "Labels: app=web, app!=web, 'app in (a,b)', 'app notin (a,b)', app, '!app'; "
                     "several by commas");
}

void add_source(CLI::App& command, std::string& source, const char* help) {
  command.add_option("--source", source, help);
}
constexpr const char* kOwnSource = "manual, which is the only one that sluice writes";

void add_dry_run(CLI::App& command, std::string& dry_run) {
  command
      .add_flag("--dry-run{client}", dry_run,
                "Write nothing. client (default of the flag): check; server: compare with Redis; "
                "none")
      ->check(CLI::IsMember({"client", "server", "none"}));
}

void add_validate(CLI::App& command, FieldValidation& validation) {
  const std::map<std::string, FieldValidation> words{{"strict", FieldValidation::strict},
                                                     {"true", FieldValidation::strict},
                                                     {"warn", FieldValidation::warn},
                                                     {"ignore", FieldValidation::ignore},
                                                     {"false", FieldValidation::ignore}};
  command
      .add_option_function<std::string>(
          "--validate", [&validation, words](const std::string& w) { validation = words.at(w); },
          "Of unknown fields: strict (an error, default), warn or ignore")
      ->check(CLI::IsMember({"strict", "true", "warn", "ignore", "false"}));
}

void add_prune(CLI::App& command, PruneOptions& prune) {
  command.add_flag("--prune", prune.prune,
                   "Also delete what was applied to these namespaces before and is not given now; "
                   "with -l or --all");
  command.add_flag("--all", prune.all, "With --prune: whatever its labels");
  command
      .add_option("--prune-allowlist", prune.allowlist,
                  "Kinds to prune, as core/v1/Service or sluice.dev/v1/AddressPool; repeatable "
                  "(default: Services, Endpoints, EndpointSlices, Pods)")
      ->expected(1)
      ->take_all();
}

void add_wait(CLI::App& command, bool& wait, std::chrono::milliseconds& timeout, const char* help) {
  command.add_flag("--wait", wait, help);
  command.add_option_function<std::string>(
      "--timeout",
      [&timeout](const std::string& text) {
        const auto parsed = parse_duration(text);
        if (!parsed) throw CLI::ValidationError("--timeout", parsed.error());
        timeout = *parsed;
      },
      "With --wait: at most this long, such as 90s or 2m (default 60s)");
}

void add_apply(CLI::App& app, Action& action) {
  auto options = std::make_shared<ApplyOptions>();
  CLI::App* command = app.add_subcommand("apply", "Create or change objects from manifests");
  add_manifests(*command, options->manifests);
  command->get_option("-f")->required();
  add_namespace(*command, options->manifests.ns);
  add_selector(*command, options->selector);
  add_source(*command, options->source, kOwnSource);
  add_validate(*command, options->validation);
  add_dry_run(*command, options->dry_run);
  add_prune(*command, options->prune);
  add_wait(*command, options->wait, options->timeout,
           "Until every gateway serves the Services applied");
  command->add_option("-o,--output", options->output, "name, json or yaml")
      ->check(CLI::IsMember({"name", "json", "yaml"}));
  command->callback([&action, options] {
    action = [options](Context& context) { return apply_command(context, *options); };
  });
}

void add_diff(CLI::App& app, Action& action) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand("diff",
                                         "Show what apply would change, by diff(1) or what "
                                         "KUBECTL_EXTERNAL_DIFF names");
  add_manifests(*command, options->manifests);
  command->get_option("-f")->required();
  add_namespace(*command, options->manifests.ns);
  add_selector(*command, options->selector);
  add_source(*command, options->source, kOwnSource);
  add_validate(*command, options->validation);
  add_prune(*command, options->prune);
  command->callback([&action, options] {
    action = [options](Context& context) { return diff_command(context, *options); };
  });
}

void add_delete(CLI::App& app, Action& action) {
  auto options = std::make_shared<DeleteOptions>();
  CLI::App* command = app.add_subcommand("delete", "Delete objects given by apply");
  add_manifests(*command, options->manifests);
  command->add_option("KIND", options->words,
                      "KIND NAME..., KIND/NAME..., or KIND with -l or --all");
  add_namespace(*command, options->manifests.ns);
  command->add_flag("-A,--all-namespaces", options->all_namespaces, "All namespaces")
      ->excludes("-n");
  add_selector(*command, options->selector);
  command->add_flag("--all", options->all, "All of the kind in the namespace");
  add_source(*command, options->source, kOwnSource);
  command->add_flag("--ignore-not-found", options->ignore_not_found, "Not an error if it is gone");
  add_dry_run(*command, options->dry_run);
  add_wait(*command, options->wait, options->timeout,
           "Until no gateway serves the Services deleted");
  command->add_option("-o,--output", options->output, "name")->check(CLI::IsMember({"name"}));
  command->callback([&action, options] {
    if (options->manifests.files.empty() && options->words.empty())
      throw CLI::RequiredError("-f FILE, or KIND NAME");
    action = [options](Context& context) { return delete_command(context, *options); };
  });
}

void add_get(CLI::App& app, Action& action) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* command = app.add_subcommand("get", "Show objects: " + resource_names());
  command
      ->add_option("KIND", options->words,
                   "KIND, KIND,KIND, KIND NAME... or KIND/NAME...; kinds: " + resource_names())
      ->required();
  add_namespace(*command, options->ns);
  command->add_flag("-A,--all-namespaces", options->all_namespaces, "All namespaces")
      ->excludes("-n");
  add_selector(*command, options->selector);
  add_source(*command, options->source, "Objects of this cluster or manual alone (default: all)");
  command->add_option("-o,--output", options->output, "wide, json, yaml or name")
      ->check(CLI::IsMember({"wide", "json", "yaml", "name"}));
  command->add_flag("-w,--watch", options->watch, "After the list, follow changes");
  command->add_flag("--watch-only", options->watch_only, "Follow changes, without the list");
  command->add_flag("--output-watch-events", options->watch_events,
                    "With -w: a column that says ADDED, MODIFIED or DELETED");
  command->add_flag("--show-labels", options->show_labels, "A last column LABELS");
  command->add_flag("--no-headers", options->no_headers, "No first line");
  command->callback([&action, options] {
    action = [options](Context& context) { return get_command(context, *options); };
  });
}

void add_describe(CLI::App& app, Action& action) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* command = app.add_subcommand("describe", "Show all there is to know of one Service or pool");
  command->add_option("KIND", options->resource, "service, or service/NAME")->required();
  command->add_option("NAME", options->name, "NAME or NAMESPACE/NAME");
  command->add_option("-n,--namespace", options->ns, "Namespace")->capture_default_str();
  add_source(*command, options->source, "The one of this cluster or manual alone (default: all)");
  command->callback([&action, options] {
    action = [options](Context& context) { return describe_command(context, *options); };
  });
}

void add_flows(CLI::App& app, Action& action) {
  auto options = std::make_shared<FlowsOptions>();
  CLI::App* command = app.add_subcommand("flows", "Show connections this gateway tracks");
  command->add_option("--client", options->client, "Only of this client's address");
  command->add_option("--vip", options->vip, "Only to ADDRESS:PORT, with /udp for UDP");
  command->add_option("--limit", options->limit, "At most")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("-o,--output", "wide")
      ->check(CLI::IsMember({"wide"}))
      ->each([options](const std::string&) { options->wide = true; });
  command->callback([&action, options] {
    action = [options](Context& context) { return flows_command(context, *options); };
  });
}

void add_stats(CLI::App& app, Action& action) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* command = app.add_subcommand("stats", "Show the dataplane's counters");
  command->add_flag("--drops", options->drops, "Packets dropped, by reason, with what it means");
  command->add_flag("--vips", options->vips, "By VIP");
  command->add_flag("--backends", options->backends, "By backend");
  command->add_flag("--workers", options->workers, "By worker");
  command->add_flag("--all", options->all, "Also reasons that never occurred");
  command->callback([&action, options] {
    action = [options](Context& context) { return stats_command(context, *options); };
  });
}

void add_trace(CLI::App& app, Action& action) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* command = app.add_subcommand(
      "trace", "Tell what the dataplane would do with a packet, and why; nothing is sent");
  command->add_option("SOURCE", options->source, "ADDRESS or ADDRESS:PORT")->required();
  command->add_option("DESTINATION", options->destination, "ADDRESS:PORT")->required();
  auto* tcp = command->add_flag("--tcp", options->tcp, "TCP (default)");
  command->add_flag("--udp", options->udp, "UDP")->excludes(tcp);
  command->add_option("--flags", options->flags, "TCP flags, for instance syn,ack (default syn)");
  command->add_option("--port", options->port, "Port it arrives on (default: the first)");
  command->callback([&action, options] {
    action = [options](Context& context) { return trace_command(context, *options); };
  });
}

void add_admin(CLI::App& app, Action& action, const GlobalOptions& globals) {
  CLI::App* check = app.add_subcommand("check", "Check without changing anything");
  check->require_subcommand(1);
  CLI::App* config = check->add_subcommand("config", "Read gateway.yaml and tell its mistakes");
  auto file = std::make_shared<std::string>();
  config->add_option("FILE", *file, "Instead of the one of --config");
  config->callback([&action, &globals, file] {
    action = [&globals, file](Context&) {
      return check_config_command(file->empty() ? globals.config_file : *file);
    };
  });

  CLI::App* source = app.add_subcommand("source", "Origins of objects");
  source->require_subcommand(1);
  source->add_subcommand("list", "Show what gateways know of each source")->callback([&action] {
    action = [](Context& context) { return source_list_command(context); };
  });
  CLI::App* accept =
      source->add_subcommand("accept", "Let deletions take effect that are held for want of proof");
  auto accepted = std::make_shared<AcceptOptions>();
  accept->add_option("NAME", accepted->source, "Source")->required();
  accept->add_flag("-y,--yes", accepted->yes, "Without asking");
  accept->callback([&action, accepted] {
    action = [accepted](Context& context) { return source_accept_command(context, *accepted); };
  });

  CLI::App* write = app.add_subcommand("export", "Print what was applied, as manifests");
  auto exported = std::make_shared<ExportOptions>();
  add_source(*write, exported->source, "Another source's objects (default: manual)");
  write->add_flag("--from-disk", exported->from_disk, "From this gateway's copy, not from Redis");
  write->callback([&action, exported] {
    action = [exported](Context& context) { return export_command(context, *exported); };
  });

  app.add_subcommand("version", "Print the version")->callback([&action] {
    action = [](Context&) {
      std::cout << writer_name() << '\n';
      return kExitOk;
    };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Sluice: a load-balancing gateway in front of Kubernetes.", "sluice"};
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kExitCodes);
  GlobalOptions globals;
  app.add_option("--config", globals.config_file,
                 std::string("gateway.yaml (default ") + kDefaultConfigFile + ")");
  app.add_option("--redis", globals.redis, "HOST:PORT or unix:/path, over gateway.yaml");
  app.add_option("--socket", globals.socket, "The dataplane's socket, over gateway.yaml");
  app.set_version_flag("--version", writer_name());
  Action action;
  add_apply(app, action);
  add_diff(app, action);
  add_delete(app, action);
  add_get(app, action);
  add_describe(app, action);
  add_flows(app, action);
  add_stats(app, action);
  add_trace(app, action);
  add_admin(app, action, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  Context context(globals);
  return action(context);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return sluice::run(argc, argv);
}
