// What fetching does where the system fails: this test program's faults reach it too.
#include "data/fetch.h"

#include "base/build_config.h"
#include "base/error.h"
#include "tests/experiment/system_faults.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("fetch: a file system without locks keeps nobody from fetching") {
  if (!QMSE_DATA_TOOLS) {
    WARN("[skipped: this build has no libcurl]");
    return;
  }
  const TempDirectory folder;
  FetchPlan plan = fetch_plan("mnist");
  plan.mirror = "http://127.0.0.1:1/";  // where nobody listens: behind the lock comes the download
  DownloadOptions options;
  options.attempts = 1;
  const auto message = [&] {
    return message_of<IoError>([&] { fetch_dataset(plan, folder / "out", options); });
  };
  const std::string with_locks = message();
  CHECK(missing(with_locks, {"127.0.0.1:1"}) == "");
  const ScopedFault fault(Fault::no_locks);
  CHECK(message() == with_locks);
}
