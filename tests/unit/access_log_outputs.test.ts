/** Where the access log's helper writes to: no line is torn, whatever the output takes at once. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileOutput } from "../../src/access_log/outputs.ts";
import { reopenedForWriting } from "../../src/access_log/reopen.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import { temporaryDirectory } from "../support/system.ts";
import { libc } from "#runtime";

/** Lines that do not end at the boundaries of writes. */
const LINES = Array.from({ length: 3000 }, (_, i) => `line=${i} ${"x".repeat(i % 97)}`);

test("lines that fill a pipe again and again arrive whole", () => {
  const ends = new Int32Array(2);
  assert.equal(libc.pipe2(new Uint8Array(ends.buffer), O_CLOEXEC | O_NONBLOCK), 0);
  const [reading, writing] = [ends[0]!, reopenedForWriting(ends[1]!)!];
  libc.close(ends[1]!);
  const output = fileOutput(libc, writing);
  const chunk = new Uint8Array(10_000);
  const read: Buffer[] = [];
  const drain = () => {
    for (let n = 0; (n = libc.read(reading, chunk, chunk.length)) > 0;) {
      read.push(Buffer.from(chunk.subarray(0, n)));
    }
  };
  let rest: Uint8Array = Buffer.from(`${LINES.join("\n")}\n`);
  while (rest.length > 0) {
    const written = output.write(rest);
    if (typeof written === "number") rest = rest.subarray(written);
    else {
      assert.equal(written, "full");
      drain();
    }
  }
  drain();
  libc.close(reading);
  closeSync(writing);
  assert.deepEqual(Buffer.concat(read).toString().split("\n"), [...LINES, ""]);
});

test("a line whose rest a full disk refused is ended before the next one, and only then", () => {
  const directory = temporaryDirectory();
  const fd = openSync(join(directory, "log"), "a");
  const ENOSPC = 28;
  let written = "";
  let room = 0;
  const disk = {
    ...libc,
    errno: () => ENOSPC,
    write(_: number, bytes: Uint8Array, length: number) {
      const taken = Math.min(room, length);
      written += Buffer.from(bytes.subarray(0, taken)).toString();
      room -= taken;
      return taken > 0 ? taken : -1;
    },
  } as Libc;
  const output = fileOutput(disk, fd);
  const write = (text: string, space: number) => {
    room = space;
    return output.write(Buffer.from(text));
  };
  const refused = { cause: "No space left on device" };
  // There is room again before the rest: the line is whole.
  assert.equal(write("one\n", 2), 2);
  assert.equal(write("e\ntwo\n", 100), 6);
  assert.equal(write("three\n", 3), 3);
  assert.deepEqual(write("ee\n", 0), refused);
  assert.deepEqual(write("four\n", 0), refused);
  assert.equal(write("five\n", 100), 5);
  assert.equal(written, "one\ntwo\nthr\nfive\n");
  closeSync(fd);
});
