/** A file system that never answers, as a disk or a server that hangs. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readSync, writeSync } from "node:fs";

const DEVICE = "/dev/fuse";

/** Whether {@link hangingDisk} is possible here. */
export function canHang(): boolean {
  return process.getuid!() === 0 && existsSync(DEVICE);
}

/** Mounts it on a directory; returns the function that ends it, with an error for all that wait. */
export function hangingDisk(directory: string): () => void {
  const fd = openSync(DEVICE, "r+");
  const options = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other";
  const words = ["-i", "-t", "fuse", "-o", options, "hanging", directory];
  const { status, stderr } = spawnSync("mount", words, {
    stdio: ["ignore", "ignore", "pipe", fd],
    encoding: "utf8",
  });
  if (status !== 0) {
    closeSync(fd);
    throw new Error(`cannot mount it: ${stderr}`);
  }
  // FUSE_INIT is answered, so that other requests are made: each waits for its answer.
  const request = Buffer.alloc(256 * 1024);
  readSync(fd, request);
  const answer = Buffer.alloc(16 + 64);
  answer.writeUInt32LE(answer.length, 0);
  // struct fuse_out_header: the request's number; struct fuse_init_out: version, limits.
  request.copy(answer, 8, 8, 16);
  answer.writeUInt32LE(7, 16);
  answer.writeUInt32LE(31, 20);
  answer.writeUInt16LE(1, 32);
  answer.writeUInt16LE(1, 34);
  answer.writeUInt32LE(4096, 36);
  writeSync(fd, answer);
  return () => {
    closeSync(fd);
    spawnSync("umount", ["--lazy", directory]);
  };
}
