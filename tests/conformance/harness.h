// What the conformance suite needs to know of an endpoint under test: how to make one with the two
// test tables, how an application writes to it, and how its rows are read without the endpoint.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "state/ports/endpoint.h"
#include "tests/support/test_mapping.h"

namespace switchback {

class Harness {
 public:
  virtual ~Harness() = default;

  /// The endpoint over this harness's store, made anew: what a restarted process would have.
  virtual std::unique_ptr<Endpoint> open() = 0;
  /// Which side the store stands on: old sides begin open, PostgreSQL begins closed.
  virtual bool begins_open() const = 0;

  /// The application's writes on a connection of its own: false if the fence refused. A writer
  /// waits while a gate holds the lock.
  virtual bool put_parent(int id, const std::string& name) = 0;
  virtual bool remove_parent(int id) = 0;
  /// Several puts in one transaction; rolled back at the end if `commit` is false.
  virtual bool put_parents(int first, int last, const std::string& name, bool commit) = 0;
  /// id -> name, read independently.
  virtual std::map<int, std::string> parents() = 0;
};

using MakeHarness = std::function<std::unique_ptr<Harness>()>;

}  // namespace switchback
