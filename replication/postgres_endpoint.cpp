#include "replication/postgres_endpoint.h"

#include <fmt/format.h>

#include "replication/check.h"
#include "replication/fence.h"
#include "replication/gate.h"
#include "replication/history.h"
#include "replication/install.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/quarantine.h"
#include "replication/reader.h"
#include "replication/sink.h"
#include "replication/slot.h"
#include "replication/source.h"
#include "replication/standing.h"

namespace switchback {
namespace {

/// A slot made anew, if PostgreSQL takes writes, and where it begins; else nothing flows from here.
Position renew_stream(Connection& sql, const std::string& conninfo, const Mapping& mapping,
                      const std::string& store) {
  const Result open = sql.exec(
      "SELECT 1 FROM switchback.group_state WHERE bridge = $1 AND grp = ANY ($2) AND gate = 'open'",
      {mapping.bridge, text_array(groups_of(mapping, store))});
  if (open.rows() == 0) return {};
  Connection replication = Connection::open(
      conninfo, fmt::format("switchback {} slot", mapping.bridge), ConnectionUse::kReplication);
  const Lsn begins =
      renew_slot(sql, replication, mapping.bridge, store, names_for(mapping.bridge, store).slot);
  return {.history = postgres_history(replication), .value = begins.value, .proof = 0};
}

class PostgresEndpoint final : public Endpoint {
 public:
  PostgresEndpoint(PostgresOptions options, std::shared_ptr<const Mapping> mapping)
      : options_(std::move(options)), mapping_(std::move(mapping)) {}

  std::unique_ptr<ChangeSource> make_source() override {
    PostgresSourceOptions source;
    source.conninfo = options_.conninfo;
    source.store = options_.store;
    return open_postgres_source(std::move(source), mapping_);
  }
  std::unique_ptr<ChangeSink> make_sink() override {
    return open_postgres_sink(options_.conninfo, mapping_, options_.store);
  }
  std::unique_ptr<RowReader> make_reader() override {
    return open_postgres_reader(options_.conninfo, mapping_);
  }
  std::unique_ptr<WriteGate> make_gate(const std::string& group) override {
    return std::make_unique<PostgresGate>(options_.conninfo, mapping_, options_.store, group);
  }

  std::vector<Finding> check() override {
    return check_postgres(options_.conninfo, *mapping_, options_.store);
  }
  std::vector<QuarantineEntry> quarantine() override {
    Connection sql = connect();
    if (!has_meta(sql)) return {};
    return read_quarantine(sql, *mapping_);
  }
  std::map<std::string, std::string> standing() override {
    Connection sql = connect();
    return postgres_standing(sql, *mapping_, options_.store);
  }
  std::map<std::string, std::vector<std::string>> columns() override {
    Connection sql = connect();
    return postgres_columns(sql, *mapping_, options_.store);
  }
  Position renew() override {
    install();
    Connection sql = connect();
    return renew_stream(sql, options_.conninfo, *mapping_, options_.store);
  }
  std::vector<std::string> plan_install() override {
    Connection sql = connect();
    return plan_postgres_install(sql, *mapping_, options_.store);
  }
  void install() override {
    Connection sql = connect();
    install_postgres(sql, *mapping_, options_.store);
  }
  std::string removal_script() override {
    return postgres_removal_script(*mapping_, options_.store);
  }
  void remove() override {
    Connection sql = connect();
    remove_postgres(sql, *mapping_, options_.store);
  }

 private:
  Connection connect() const {
    return Connection::open(options_.conninfo,
                            fmt::format("switchback {} setup", mapping_->bridge));
  }

  const PostgresOptions options_;
  const std::shared_ptr<const Mapping> mapping_;
};

}  // namespace

std::unique_ptr<Endpoint> open_postgres(PostgresOptions options,
                                        std::shared_ptr<const Mapping> mapping) {
  return std::make_unique<PostgresEndpoint>(std::move(options), std::move(mapping));
}

}  // namespace switchback
