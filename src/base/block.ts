/** Blocks this process and its event loop for some milliseconds. Never called in a worker. */
export function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
