// sluice: the command line of everything.
#include <CLI/CLI.hpp>
#include <csignal>
#include <functional>
#include <iostream>

#include "config/gateway_config.h"
#include "control/cli/admin_commands.h"
#include "control/cli/apply.h"
#include "control/cli/context.h"
#include "control/cli/dataplane_commands.h"
#include "control/cli/describe.h"
#include "control/cli/get.h"
#include "control/cli/resource.h"

namespace sluice {
namespace {

// What a parsed command line asks for; set by the subcommand's callback.
using Action = std::function<int(Context&)>;

void add_apply(CLI::App& app, Action& action) {
  auto options = std::make_shared<ApplyOptions>();
  CLI::App* command = app.add_subcommand("apply", "Create or change objects from manifests");
  command
      ->add_option("-f,--filename", options->files, "File, directory, or - for stdin; repeatable")
      ->required()
      ->expected(1)
      ->take_all();
  command->add_option("-n,--namespace", options->ns, "For objects that name none")
      ->capture_default_str();
  command->callback([&action, options] {
    action = [options](Context& context) { return apply_command(context, *options); };
  });
}

void add_delete(CLI::App& app, Action& action) {
  auto options = std::make_shared<DeleteOptions>();
  CLI::App* command = app.add_subcommand("delete", "Delete objects given by apply");
  auto* files = command
                    ->add_option("-f,--filename", options->files,
                                 "What this file or directory names; - for stdin; repeatable")
                    ->expected(1)
                    ->take_all();
  auto* kind = command->add_option("KIND", options->kind, "Kind: " + resource_names());
  auto* names = command->add_option("NAME", options->names, "Names")->needs(kind);
  kind->needs(names)->excludes(files);
  command->add_option("-n,--namespace", options->ns, "Namespace")->capture_default_str();
  command->add_flag("--ignore-not-found", options->ignore_not_found, "Not an error if it is gone");
  command->callback([&action, options] {
    if (options->files.empty() && options->kind.empty())
      throw CLI::RequiredError("-f FILE, or KIND NAME");
    action = [options](Context& context) { return delete_command(context, *options); };
  });
}

void add_get(CLI::App& app, Action& action) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* command = app.add_subcommand("get", "Show objects: " + resource_names());
  command->add_option("KIND", options->resource, resource_names())->required();
  command->add_option("NAME", options->names, "These alone");
  auto* ns = command->add_option("-n,--namespace", options->ns, "Namespace (default: default)");
  command->add_flag("-A,--all-namespaces", options->all_namespaces, "All namespaces")->excludes(ns);
  command->add_option("-o,--output", options->output, "wide, json or yaml")
      ->check(CLI::IsMember({"wide", "json", "yaml"}));
  command->callback([&action, options] {
    action = [options](Context& context) { return get_command(context, *options); };
  });
}

void add_describe(CLI::App& app, Action& action) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* command = app.add_subcommand("describe", "Show all there is to know of one Service");
  command->add_option("KIND", options->resource, "service")->required();
  command->add_option("NAME", options->name, "NAME or NAMESPACE/NAME")->required();
  command->add_option("-n,--namespace", options->ns, "Namespace")->capture_default_str();
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
  auto name = std::make_shared<std::string>();
  accept->add_option("NAME", *name, "Source")->required();
  accept->callback([&action, name] {
    action = [name](Context& context) { return source_accept_command(context, *name); };
  });

  CLI::App* write = app.add_subcommand("export", "Print what was applied, as manifests");
  auto from_disk = std::make_shared<bool>(false);
  write->add_flag("--from-disk", *from_disk, "From this gateway's copy, not from Redis");
  write->callback([&action, from_disk] {
    action = [from_disk](Context& context) { return export_command(context, *from_disk); };
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
  GlobalOptions globals;
  app.add_option("--config", globals.config_file,
                 std::string("gateway.yaml (default ") + kDefaultConfigFile + ")");
  app.add_option("--redis", globals.redis, "HOST:PORT or unix:/path, over gateway.yaml");
  app.add_option("--socket", globals.socket, "The dataplane's socket, over gateway.yaml");
  app.set_version_flag("--version", writer_name());
  Action action;
  add_apply(app, action);
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
