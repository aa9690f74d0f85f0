import assert from "node:assert/strict";
import { it } from "node:test";
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { lengthFields, mutant } from "../faults/hostile/mutate.ts";
import { readInputs, saveInputs } from "../faults/hostile/replay.ts";

/** A record with a ClientHello of one cipher suite and one extension, a list of one group. */
const HELLO = Buffer.from(
  "1603010037" + "01000033" + "0303" + "11".repeat(32) + "00" + "00021301" + "0100" + "0008" +
    "000a00040002001d",
  "hex",
);

it("finds every length of a ClientHello", () => {
  assert.equal(HELLO.length, 5 + 0x37);
  const found = lengthFields(HELLO).map(({ at, width }) => HELLO.readUIntBE(at, width));
  assert.deepEqual(found, [0x37, 0x33, 0, 2, 1, 8, 4, 2]);
});

it("gives the same input for the same seed and number, and hardly ever the same for others", () => {
  const inputs = Array.from({ length: 500 }, (_, number) => mutant([HELLO], 7, number));
  const again = Array.from({ length: 500 }, (_, number) => mutant([HELLO], 7, number));
  assert.deepEqual(inputs, again);
  const other = mutant([HELLO], 8, 0);
  assert.notDeepEqual(other, inputs[0]);
  const different = new Set(inputs.map((input) => input.toString("hex")));
  assert.ok(different.size > 400, `${different.size} different ones`);
});

it("leaves the hellos as they are, and keeps inputs within 70,000 bytes", () => {
  const before = Buffer.from(HELLO);
  for (let number = 0; number < 5000; number++) {
    assert.ok(mutant([HELLO], 1, number).length <= 70_000);
  }
  assert.deepEqual(HELLO, before);
});

it("saves inputs so that they can be made again", () => {
  const inputs = { material: [HELLO, Buffer.from([0, 255])], first: 4000, count: 2000 };
  const path = saveInputs(inputs);
  try {
    assert.deepEqual(readInputs(path), inputs);
  } finally {
    rmSync(dirname(path), { recursive: true });
  }
});
