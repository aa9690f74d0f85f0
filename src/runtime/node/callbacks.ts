/** The callbacks of all handles, shared so that a connection costs no closure. */
import { errnoFailure, tlsFailure } from "./failure.ts";
import {
  handles,
  type Request,
  type SocketHandle,
  type TlsHandle,
  type WriteRequest,
} from "./handles.ts";

/** All streams read into this buffer in turn: what must last is copied. */
export const chunk = new Uint8Array(65_536);

export function onHandshakeDone(this: TlsHandle): void {
  this.stream.handshakeDone();
}

export function onRead(this: SocketHandle | TlsHandle): void {
  const { stream } = this;
  if (stream.isClosing) return;
  const { streamBaseState, kReadBytesOrError } = handles;
  const size = streamBaseState[kReadBytesOrError]!;
  if (size > 0) stream.received(size === chunk.length ? chunk : chunk.subarray(0, size));
  else if (size === UV_EOF) stream.ended();
  else if (size < 0) stream.fail(errnoFailure(size));
}

export function onTlsError(this: TlsHandle, error: Error): void {
  this.stream.fail(tlsFailure(error));
}

export function onWritten(this: WriteRequest, status: number): void {
  this.handle!.stream.written(status);
}

export function onShutdown(this: Request): void {
  if (!this.stream.isClosing) this.stream.finished();
}

export function onClosed(this: SocketHandle): void {
  this.stream.closed();
}

/** Returns the status of a write that is already complete, or null. */
export function immediateStatus(request: WriteRequest): number | null {
  return handles.streamBaseState[handles.kLastWriteErr] || request.writeStatus;
}

const UV_EOF = -4095;
