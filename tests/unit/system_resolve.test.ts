import { test } from "node:test";
import assert from "node:assert/strict";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import { resolve } from "../../src/system/resolve.ts";

test("a host that cannot be resolved is refused in words", async () => {
  // RFC 6761 section 6.4: this name never exists. Without a DNS server the cause is another.
  const resolved = resolve(runtime.libc, { host: "a.invalid", port: 1 }, "--backend");
  await assert.rejects(resolved, (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(
      error.message,
      /^--backend: cannot resolve the host "a\.invalid" \((it is unknown|no DNS server answers)\); check the name$/,
    );
    return true;
  });
});
