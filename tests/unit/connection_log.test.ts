import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import type { Connection } from "../../src/connection/connection.ts";
import { ConnectionLog } from "../../src/worker/connection_log.ts";

test("a common name of many letters does not fill the log", () => {
  const logged: LogEntry[] = [];
  const place = { slot: 1, listeners: [], counted: { frontends: [], alpn: [] } };
  const log = new ConnectionLog(place, {
    log: (entry) => logged.push(entry),
    isVerbose: () => true,
    accessWriter: undefined,
  });
  const known = { id: 1, clientName: "192.0.2.1:5", facts: {}, frontend: 0 };
  log.established({ ...known, clientCommonName: "L".repeat(60_000) } as Connection);
  log.established({ ...known, clientCommonName: "alice" } as Connection);
  const [long, short] = logged.map(({ facts }) => String(facts.clientCommonName));
  assert.match(long!, /^L{255}…$/);
  assert.equal(short, "alice");
});
