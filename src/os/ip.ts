/** Parses and formats IP addresses (RFC 791, RFC 4291 section 2.2, RFC 5952). */

/**
 * Returns the 4 or 16 bytes of a numeric address in network order. Zones (`%eth0`) are refused.
 * Throws a RangeError for anything that is not a numeric address.
 */
export function ipBytes(text: string): Uint8Array {
  const bytes = text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
  if (!bytes) throw new RangeError(`not an IP address: ${text}`);
  return bytes;
}

/** Returns 4 or 6, or 0 for text that is not a numeric address. */
export function ipFamily(text: string): 4 | 6 | 0 {
  if (text.includes(":")) return ipv6Bytes(text) ? 6 : 0;
  return ipv4Bytes(text) ? 4 : 0;
}

/**
 * Returns the dotted form of an IPv4 address as inet_aton(3) reads it, and so getaddrinfo(3): of
 * one to four parts, decimal or hexadecimal, of which the last fills the remaining bytes (`127.1`,
 * `0x7f000001`, `0`). Undefined for other text, also for a part such as `010`, which is octal there
 * and decimal elsewhere.
 */
export function ipv4Text(text: string): string | undefined {
  if (!/^[\da-fx.]{1,50}$/i.test(text)) return undefined;
  const parts = text.split(".");
  if (parts.length > 4 || !parts.every((part) => /^(0*[0-7]|[1-9]\d*|0x[\da-f]+)$/i.test(part))) {
    return undefined;
  }
  const last = Number(parts.pop());
  const free = 4 - parts.length;
  if (last >= 256 ** free || parts.some((part) => Number(part) > 255)) return undefined;
  const rest = Array.from(
    { length: free },
    (_, i) => Math.floor(last / 256 ** (free - 1 - i)) % 256,
  );
  return [...parts.map(Number), ...rest].join(".");
}

/**
 * Splits an IPv6 address with a zone (RFC 4007 section 11), such as `fe80::1%eth0`; the zone of
 * other text is "". The zone is the name or the index of an interface.
 */
export function splitZone(text: string): { readonly address: string; readonly zone: string } {
  const [, address, zone] = /^([^%]*:[^%]*)%([\w.:@-]{1,15})$/.exec(text) ?? [];
  return address === undefined ? { address: text, zone: "" } : { address, zone: zone! };
}

/** Whether the address means every address of this machine. */
export function isWildcard({ address }: { readonly address: string }): boolean {
  return address === "::" || address === "0.0.0.0";
}

/** Formats 4 bytes as dotted IPv4, 16 bytes as the shortest IPv6 form of RFC 5952. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  const run = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/**
 * Returns the IPv4 address inside an IPv4-mapped one, or the address itself: a dual-stack socket
 * reports IPv4 peers as `::ffff:192.0.2.1`.
 */
export function unmapped(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** Returns the 4 bytes inside an IPv4-mapped address, or the bytes themselves. */
export function unmappedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 && isMapped(bytes) ? bytes.subarray(12) : bytes;
}

/** Returns the 16 bytes of an IPv4 address in IPv4-mapped form; an IPv6 address unchanged. */
export function mapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) return bytes;
  const wide = new Uint8Array(16);
  wide.fill(0xff, 10, 12);
  wide.set(bytes, 12);
  return wide;
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  // A leading zero means octal to some parsers and decimal to others: refused.
  const parts = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(
    text,
  );
  if (!parts) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = Number(parts[i + 1]);
    if (part > 255) return undefined;
    bytes[i] = part;
  }
  return bytes;
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  let groups = text;
  const dotted = /^(.*:)([^:]*\.[^:]*)$/.exec(text);
  if (dotted) {
    const tail = ipv4Bytes(dotted[2]!);
    if (!tail) return undefined;
    const hex = (i: number) => ((tail[i]! << 8) | tail[i + 1]!).toString(16);
    groups = `${dotted[1]}${hex(0)}:${hex(2)}`;
  }
  const halves = groups.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  if (tail ? missing < 1 : missing !== 0) return undefined;
  const all = [...head!, ...new Array<string>(tail ? missing : 0).fill("0"), ...(tail ?? [])];
  const bytes = new Uint8Array(16);
  for (const [i, group] of all.entries()) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    const value = parseInt(group, 16);
    bytes[i * 2] = value >> 8;
    bytes[i * 2 + 1] = value & 0xff;
  }
  return bytes;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((b) => b === 0);
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
