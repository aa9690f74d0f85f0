/** Makes a ClientHello byte by byte (RFC 8446 section 4.1.2, RFC 6066 section 3). */
import { randomBytes } from "node:crypto";

/** A handshake message with its header; `padding` bytes come before the name. */
export function hello(
  name: string | undefined,
  padding = 0,
  { id = randomBytes(32), ciphers = Buffer.of(0x13, 1, 0x13, 2), more = [], isShort = false }: {
    readonly id?: Buffer;
    /** Two bytes each. */
    readonly ciphers?: Buffer;
    /** Extensions. */
    readonly more?: readonly Buffer[];
    /** Without extensions, and without their length. */
    readonly isShort?: boolean;
  } = {},
): Buffer {
  const extensions = [extension(21, Buffer.alloc(padding)), ...more];
  if (name !== undefined) {
    const entry = Buffer.concat([Buffer.of(0), vector(2, Buffer.from(name))]);
    extensions.push(extension(0, vector(2, entry)));
  }
  const body = Buffer.concat([
    Buffer.of(3, 3),
    randomBytes(32),
    vector(1, id),
    vector(2, ciphers),
    vector(1, Buffer.of(0)),
    isShort ? Buffer.alloc(0) : vector(2, Buffer.concat(extensions)),
  ]);
  return Buffer.concat([Buffer.of(1), vector(3, body)]);
}

export function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 255), vector(2, body)]);
}

/** Prefixes bytes with their length. */
export function vector(width: number, body: Buffer): Buffer {
  const length = Buffer.alloc(width);
  length.writeUIntBE(body.length, 0, width);
  return Buffer.concat([length, body]);
}

/** Returns TLS records of at most `size` bytes each. */
export function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}

/** A ClientHello that every TLS 1.2 server with an ECDSA certificate answers. */
export function helloOfTls12(name: string | undefined, padding = 0): Buffer {
  return hello(name, padding, {
    // ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-ECDSA-AES256-GCM-SHA384.
    ciphers: Buffer.of(0xc0, 0x2b, 0xc0, 0x2c),
    more: [
      // supported_groups: X25519 and P-256; ec_point_formats; signature_algorithms: ECDSA with SHA-256.
      extension(10, vector(2, Buffer.of(0, 0x1d, 0, 0x17))),
      extension(11, vector(1, Buffer.of(0))),
      extension(13, vector(2, Buffer.of(4, 3))),
    ],
  });
}
