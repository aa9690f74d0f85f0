import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import { openUnix } from "../../src/master/listeners/sockets.ts";
import type { Libc } from "../../src/os/libc.ts";
import { temporaryDirectory } from "../support/system.ts";
import { makeUnwritable } from "../support/unwritable.ts";

const libc: Libc = runtime.libc;

test("a Unix socket has mode 0666 from the start, whatever the umask", () => {
  const directory = temporaryDirectory();
  for (const umask of [0o000, 0o022, 0o077, 0o777]) {
    const path = join(directory, String(umask));
    const before = process.umask(umask);
    try {
      libc.close(openUnix(libc, { family: "unix", path }));
      assert.equal(process.umask(), umask, "it is as it was");
    } finally {
      process.umask(before);
    }
    assert.equal(statSync(path).mode & 0o777, 0o666);
  }
});

test("a symbolic link that replaces a new Unix socket is not followed", () => {
  const directory = temporaryDirectory();
  const [path, secret] = [join(directory, "stud.sock"), join(directory, "secret")];
  writeFileSync(secret, "");
  chmodSync(secret, 0o600);
  // The directory's owner can do this at any moment.
  const watched: Libc = {
    ...libc,
    bind(fd, address, length) {
      const result = libc.bind(fd, address, length);
      renameSync(path, `${path}.away`);
      symlinkSync(secret, path);
      return result;
    },
  };
  libc.close(openUnix(watched, { family: "unix", path }));
  assert.equal(statSync(secret).mode & 0o777, 0o600);
});

test("a path that cannot have a socket is refused by the reason", () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory, name);
  writeFileSync(path("file"), "");
  symlinkSync("file", path("link"));
  symlinkSync("loop", path("loop"));
  const fd = openUnix(libc, { family: "unix", path: path("used") });
  libc.listen(fd, 1);
  const cases = {
    ".": "it is a directory; specify a path in it",
    "file": "it is a regular file, not a socket; choose another path",
    "link": "it is a symbolic link, not a socket; choose another path",
    "used": "it is in use by another program; stop that program or choose another path",
    "none/x": "its directory does not exist; create it",
    "file/x": "a part of the path is not a directory; check the path",
    "loop/x": "Too many symbolic links encountered; choose another path",
  };
  for (const [name, reason] of Object.entries(cases)) {
    assert.throws(() => openUnix(libc, { family: "unix", path: path(name) }), (error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(error.message.endsWith(`: ${reason}`), error.message);
      return true;
    });
  }
  libc.close(fd);
});

test("a dead socket that cannot be removed is refused by one line with the reason", (context) => {
  const directory = join(temporaryDirectory(), "run");
  mkdirSync(directory);
  const path = join(directory, "stud.sock");
  libc.close(openUnix(libc, { family: "unix", path }));
  context.after(makeUnwritable(directory));
  assert.throws(() => openUnix(libc, { family: "unix", path }), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(
      error.message,
      /^--frontend: cannot listen on .*stud\.sock: .*cannot be removed \(/,
    );
    return /\((Operation not permitted|Permission denied)\); remove it or /.test(error.message);
  });
  assert.ok(existsSync(path));
});
