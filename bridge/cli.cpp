#include "bridge/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bridge/config_reader.h"
#include "bridge/error_json.h"
#include "state/base/log.h"

namespace switchback {
namespace {

/// Everything the options are parsed into, and the call that was chosen.
struct Parsed {
  GlobalOptions global;
  RunOptions run;
  StatusOptions status;
  FlipOptions flip;
  CheckOptions check;
  QuarantineOptions quarantine;
  VerifyOptions verify;
  AuditOptions audit;
  AbandonOptions abandon;
  DemoOptions demo;
  DoctorOptions doctor;
  std::string primary;
  std::string max_pause;
  std::function<ExitCode()> chosen;
  bool json = false;
};

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& about,
                      const std::string& example) {
  CLI::App* command = app.add_subcommand(name, about);
  command->fallthrough();  // -c and --verbose may stand after the command too
  command->footer("example:\n  " + example);
  return command;
}

std::string check_duration(const std::string& text) {
  const auto span = parse_duration(text);
  if (span && span->count() > 0 && span->count() <= 60'000) return {};
  return "expected a duration up to 60s such as 500ms or 2s, found \"" + text + "\"";
}

void add_flip(CLI::App& app, Parsed& parsed, const Commands& commands, Side to) {
  const bool cutover = to == Side::kPostgres;
  CLI::App* command = add_command(
      app, cutover ? "cutover" : "rollback",
      cutover ? "Make PostgreSQL the primary: writes go there from then on, and flow back"
              : "Make the old store the primary again",
      cutover ? "switchback cutover --dry-run    # what stands in the way, and nothing else"
              : "switchback rollback --max-pause 300ms --yes");
  command->add_option("--group", parsed.flip.group, "the group of tables that flips")
      ->capture_default_str();
  command
      ->add_option("--max-pause", parsed.max_pause,
                   "how long writers may wait; past it all is undone (default: as configured)")
      ->check(CLI::Validator(check_duration, "DURATION"));
  auto* dry_run = command->add_flag("--dry-run", parsed.flip.dry_run,
                                    "only look: every gate, and the predicted pause");
  command
      ->add_flag("--drill", parsed.flip.drill,
                 "lock, drain and compare for real, measure the pause, then undo it all")
      ->excludes(dry_run);
  command->add_flag("--yes", parsed.flip.yes, "do not ask");
  command->add_flag("--json", parsed.flip.json, "print the outcome as JSON");
  command->callback([&parsed, &commands, to] {
    parsed.flip.to = to;
    if (!parsed.max_pause.empty()) parsed.flip.max_pause = parse_duration(parsed.max_pause);
    parsed.json = parsed.flip.json;
    parsed.chosen = [&] { return commands.flip(parsed.global, parsed.flip); };
  });
}

void add_looking(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* status = add_command(app, "status", "Where writes go, phase, lag, and what needs you",
                                 "switchback status --watch");
  status->add_flag("--watch", parsed.status.watch, "again every second, until Ctrl-C");
  status->add_flag("--json", parsed.status.json, "for programs");
  status->callback([&] {
    parsed.json = parsed.status.json;
    parsed.chosen = [&] { return commands.status(parsed.global, parsed.status); };
  });
  CLI::App* check = add_command(
      app, "check", "Try everything the bridge needs on both sides, and name what is missing",
      "switchback -c switchback.toml check");
  check->add_flag("--json", parsed.check.json, "for programs");
  check->callback([&] {
    parsed.json = parsed.check.json;
    parsed.chosen = [&] { return commands.check(parsed.global, parsed.check); };
  });
}

void add_verify(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* verify = add_command(
      app, "verify", "Compare every row of both sides while they are in use, and name what differs",
      "switchback verify --table orders --repair");
  verify->add_option("--table", parsed.verify.table, "one table only, by its name in PostgreSQL");
  verify->add_flag("--repair", parsed.verify.repair,
                   "apply what the primary has to the other side where they differ");
  verify->add_flag("--json", parsed.verify.json, "print the report as JSON");
  verify->callback([&] {
    parsed.json = parsed.verify.json;
    parsed.chosen = [&] { return commands.verify(parsed.global, parsed.verify); };
  });
}

void add_doing(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* run = add_command(
      app, "run", "The sidecar: installs, loads and streams; goes on wherever it finds the bridge",
      "DATABASE_URL=postgresql://app@db/app switchback run");
  run->add_flag("--dry-run", parsed.run.dry_run,
                "print every statement it would run, and run none");
  run->callback([&] { parsed.chosen = [&] { return commands.run(parsed.global, parsed.run); }; });
  add_flip(app, parsed, commands, Side::kPostgres);
  add_flip(app, parsed, commands, Side::kOld);
  CLI::App* abandon = add_command(
      app, "abandon", "End the bridge with the old store as primary; removes every trace of it",
      "switchback abandon --yes");
  abandon->add_flag("--yes", parsed.abandon.yes, "do not ask");
  abandon->callback(
      [&] { parsed.chosen = [&] { return commands.abandon(parsed.global, parsed.abandon); }; });
}

void add_quarantine(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* group = add_command(
      app, "quarantine", "Rows that the other side could not take: which, why, and what to do",
      "switchback quarantine list");
  group->require_subcommand(1);
  QuarantineOptions& options = parsed.quarantine;
  const auto add = [&](QuarantineVerb verb, const char* name, const char* about,
                       const char* example) {
    CLI::App* command = add_command(*group, name, about, example);
    command->add_option("--table", options.table, "of this table: public.orders, or orders");
    if (verb != QuarantineVerb::kList) {
      command->add_option("--key", options.key, "the row's key: 42, or '[\"42\",\"x\"]'");
    }
    command->add_flag("--json", options.json, "for programs");
    command->callback([&parsed, &commands, &options, verb] {
      options.verb = verb;
      parsed.json = options.json;
      parsed.chosen = [&] { return commands.quarantine(parsed.global, options); };
    });
    return command;
  };
  const auto add_doing = [&](QuarantineVerb verb, const char* name, const char* about,
                             const char* example) {
    CLI::App* command = add(verb, name, about, example);
    command->add_flag("--all", options.all, "every entry (of --table, if one is named)");
    return command;
  };
  add(QuarantineVerb::kList, "list", "Table, key, since when, and why",
      "switchback quarantine list");
  add(QuarantineVerb::kShow, "show", "The row as both sides have it now",
      "switchback quarantine show --table public.orders --key 42");
  add_doing(QuarantineVerb::kRetry, "retry",
            "Read the row again from the primary and apply it; after you mended the cause",
            "switchback quarantine retry --all");
  add_doing(QuarantineVerb::kAccept, "accept",
            "Leave the other side's row as it is: flips no longer wait for it. A file that is held "
            "(--table file) is let through",
            "switchback quarantine accept --table public.orders --key 42");
  add_doing(
      QuarantineVerb::kDrop, "drop",
      "Delete the other side's row, if it has one: flips no longer wait for it. The primary's "
      "row stays",
      "switchback quarantine drop --table public.orders --key 42 --yes")
      ->add_flag("--yes", options.yes, "do not ask");
}

void add_audit(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* audit = add_command(
      app, "audit", "Every phase change, flip and command, with who asked for it",
      "switchback audit --check    # exit code 1 if an entry was changed, removed or reordered");
  audit->add_flag("--check", parsed.audit.check, "is the log as it was written?");
  audit->add_flag("--json", parsed.audit.json, "for programs");
  audit->callback([&] {
    parsed.json = parsed.audit.json;
    parsed.chosen = [&] { return commands.audit(parsed.global, parsed.audit); };
  });
}

void add_doctor(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* doctor = add_command(
      app, "doctor",
      "What state each side is in, what is wrong, and with --fix: one way on from all of it",
      "switchback doctor --fix    # after a restored backup, a lost slot, an ALTER TABLE");
  doctor->add_flag("--fix", parsed.doctor.fix,
                   "compare both sides in full, make the other side as the primary is, and go on; "
                   "what only the other side had is kept in a file");
  doctor
      ->add_option("--primary", parsed.primary,
                   "which side is right, and primary from then on, where that is in doubt")
      ->check(CLI::IsMember({"old", "postgres"}));
  doctor->add_flag("--yes", parsed.doctor.yes, "do not ask");
  doctor->add_flag("--json", parsed.doctor.json, "for programs");
  doctor->callback([&] {
    if (!parsed.primary.empty()) parsed.doctor.primary = parse_side(parsed.primary);
    parsed.json = parsed.doctor.json;
    parsed.chosen = [&] { return commands.doctor(parsed.global, parsed.doctor); };
  });
}

void add_demo(CLI::App& app, Parsed& parsed, const Commands& commands) {
  CLI::App* demo = add_command(
      app, "demo", "The whole story on sample data, with a PostgreSQL of its own, in two minutes",
      "switchback demo --system widgettdc");
  DemoOptions& options = parsed.demo;
  demo->add_option("--folder", options.folder, "where to play; kept afterwards");
  demo->add_option("--system", options.system, "whose: a folder of configs/")
      ->capture_default_str();
  demo->add_option("--rows", options.rows, "rows of the largest table")
      ->check(CLI::Range(1, 10'000'000));
  demo->add_option("--rate", options.rate, "writes per second")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  demo->add_option("--seconds", options.seconds_per_phase, "seconds between flips")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  demo->add_option("--journal-mode", options.journal_mode,
                   "of the SQLite database; the system's own if not said")
      ->check(CLI::IsMember({"delete", "wal"}));
  demo->add_flag("--plant-loss", options.plant_loss,
                 "lose one acknowledged row on purpose: the checker must fail");
  demo->callback([&] { parsed.chosen = [&] { return commands.demo(parsed.global, options); }; });
}

ExitCode report(const Error& error, bool json) {
  fmt::print(stderr, "switchback: {}\n", error.what());
  if (json) fmt::print("{}\n", to_json(error));
  return exit_code(error.kind());
}

/// CLI11 would only say that a command is missing.
std::optional<std::string> unknown_command(const CLI::App& app) {
  const CLI::App* asked = &app;
  while (!asked->get_subcommands().empty()) asked = asked->get_subcommands().front();
  const auto words = app.remaining(true);
  std::vector<std::string> known;
  for (const CLI::App* command : asked->get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) known.push_back(command->get_name());
  }
  if (known.empty() || words.empty() || words.front().starts_with('-')) return std::nullopt;
  const std::string near = nearest_word(words.front(), known);
  return fmt::format(
      "there is no command \"{}\". Next: {}", words.front(),
      near.empty() ? "switchback --help" : fmt::format("did you mean \"{}\"?", near));
}

}  // namespace

ExitCode exit_code(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kUsage:
      return ExitCode::kUsage;
    case ErrorKind::kUnreachable:
      return ExitCode::kUnreachable;
    case ErrorKind::kRefused:
    case ErrorKind::kBusy:
    case ErrorKind::kData:
    case ErrorKind::kHistory:
    case ErrorKind::kDisk:
    case ErrorKind::kInternal:
      return ExitCode::kNo;
  }
  return ExitCode::kNo;
}

int run_cli(int argc, const char* const* argv, const Commands& commands) {
  Parsed parsed;
  CLI::App app(
      "Moves a live application from SQLite or JSON files to PostgreSQL, and back, losing nothing.",
      "switchback");
  app.require_subcommand(1);
  app.set_version_flag("--version", "switchback " SWITCHBACK_VERSION);
  app.add_option("-c,--config", parsed.global.config, "the configuration")->capture_default_str();
  app.add_flag("--verbose", parsed.global.verbose, "log more");
  app.footer(
      "exit codes: 0 done; 1 the answer is no; 2 usage or configuration; 3 a side could not be "
      "reached\nexample:\n  switchback -c switchback.toml check");
  add_doing(app, parsed, commands);
  add_looking(app, parsed, commands);
  add_verify(app, parsed, commands);
  add_quarantine(app, parsed, commands);
  add_audit(app, parsed, commands);
  add_doctor(app, parsed, commands);
  add_demo(app, parsed, commands);
#ifdef SWITCHBACK_TEST_BUILD
  app.add_subcommand("failpoints", "")->group("")->callback([&] {
    parsed.chosen = commands.failpoints;
  });
#endif
  try {
    app.parse(argc, argv);
    set_up_log(parsed.global.verbose ? LogLevel::kDebug : LogLevel::kInfo);
    return static_cast<int>(parsed.chosen());
  } catch (const CLI::ParseError& error) {
    if (const auto why = unknown_command(app)) {
      fmt::print(stderr, "switchback: {}\n", *why);
      return static_cast<int>(ExitCode::kUsage);
    }
    // exit() prints help or the message; its own codes are not ours.
    return static_cast<int>(app.exit(error) == 0 ? ExitCode::kDone : ExitCode::kUsage);
  } catch (const Error& error) {
    return static_cast<int>(report(error, parsed.json));
  } catch (const std::exception& error) {
    return static_cast<int>(
        report(Error(ErrorKind::kInternal, Retry::kNever, error.what()), parsed.json));
  }
}

}  // namespace switchback
