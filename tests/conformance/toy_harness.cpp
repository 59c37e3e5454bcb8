#include "tests/conformance/harnesses.h"
#include "tests/support/toy_endpoint.h"

namespace switchback {
namespace {

ToyRow row(int id, const std::string& name) {
  return {{.kind = Kind::kInt, .number = id},
          {.kind = Kind::kText, .text = name},
          ToyValue{},
          ToyValue{},
          ToyValue{}};
}

class ToyHarness : public Harness {
 public:
  std::unique_ptr<Endpoint> open() override { return open_toy(store_); }
  bool begins_open() const override { return true; }
  bool put_parent(int id, const std::string& name) override {
    return store_->write(kParent, row(id, name));
  }
  bool remove_parent(int id) override { return store_->erase(kParent, row(id, "")); }
  bool put_parents(int first, int last, const std::string& name, bool commit) override {
    for (int id = first; commit && id <= last; ++id) {
      if (!put_parent(id, name)) return false;
    }
    return true;
  }
  std::map<int, std::string> parents() override {
    std::map<int, std::string> found;
    for (const auto& [key, values] : store_->rows()) {
      if (key.first == kParent) found[static_cast<int>(values[0].number)] = values[1].text;
    }
    return found;
  }

 private:
  std::shared_ptr<ToyStore> store_ = std::make_shared<ToyStore>(test_mapping(), true);
};

}  // namespace

std::unique_ptr<Harness> make_toy_harness() {
  return std::make_unique<ToyHarness>();
}

std::vector<std::pair<const char*, MakeHarness>> all_harnesses() {
  return {{"toy", make_toy_harness},
          {"sqlite_wal", [] { return make_sqlite_harness(true); }},
          {"sqlite_rollback", [] { return make_sqlite_harness(false); }},
          {"postgres", make_postgres_harness},
          {"files", make_files_harness}};
}

}  // namespace switchback
