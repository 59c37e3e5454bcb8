// PostgreSQL as an endpoint: made by the program for every command that touches it. Opens nothing
// by itself; each part connects as it is used.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

struct PostgresOptions {
  std::string conninfo;          // URL or key=value; empty: libpq's environment
  std::string store;             // the one whose pumps this endpoint serves
  bool drop_constraints = true;  // during the load, on tables found empty
};

std::unique_ptr<Endpoint> open_postgres(PostgresOptions options,
                                        std::shared_ptr<const Mapping> mapping);

}  // namespace switchback
