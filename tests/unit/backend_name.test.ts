import assert from "node:assert/strict";
import { test } from "node:test";
import * as runtime from "#runtime";
import { BackendName } from "../../src/master/backend/backend_name.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import { configuration } from "../support/certificate_files.ts";
import { HandClock } from "../support/hand_clock.ts";

function at(address: string): IpEndpoint {
  return { family: 4, address, port: 80 };
}

/** A name that is looked up after failures; `answer` completes the oldest lookup. */
function watched() {
  const clock = new HandClock();
  const waiting: ((found: IpEndpoint[]) => void)[] = [];
  const moves: string[] = [];
  const name = new BackendName(
    runtime.libc,
    ({ event, message }) => moves.push(`${event}: ${message}`),
    (backend) => moves.push(JSON.stringify(backend)),
    clock,
    () => new Promise((resolve) => waiting.push(resolve)),
  );
  const config = configuration({ backend: { host: "backend.example", port: 80 } });
  name.watch(config, at("192.0.2.1"));
  const fail = () => {
    clock.advance(5000);
    name.failed();
  };
  const answer = async (address: string) => {
    waiting.shift()!([at(address)]);
    await new Promise((done) => setImmediate(done));
  };
  return { name, config, waiting, moves, fail, answer };
}

test("a name is not looked up again during a lookup, so that no answer overtakes another", async () => {
  const { waiting, moves, fail, answer } = watched();
  fail();
  fail();
  assert.equal(waiting.length, 1);
  await answer("192.0.2.2");
  assert.equal(moves[1], JSON.stringify(at("192.0.2.2")));
  fail();
  assert.equal(waiting.length, 1);
  await answer("192.0.2.3");
  assert.equal(moves[3], JSON.stringify(at("192.0.2.3")));
});

test("the lookup of an older configuration does not delay that of the next one", async () => {
  const { name, config, waiting, moves, fail, answer } = watched();
  fail();
  name.watch(config, at("192.0.2.1"));
  fail();
  assert.equal(waiting.length, 2);
  await answer("192.0.2.9");
  assert.deepEqual(moves, []);
  fail();
  assert.equal(waiting.length, 1);
  await answer("192.0.2.2");
  assert.equal(moves[1], JSON.stringify(at("192.0.2.2")));
});
