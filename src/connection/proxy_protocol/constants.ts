/**
 * Numbers of the PROXY protocol, version 2, as sections 2.2 and 2.2.1 to 2.2.8 of its specification
 * (haproxy's proxy-protocol.txt) define them.
 */

export const PP2_SIGNATURE = new TextEncoder().encode("\r\n\r\n\0\r\nQUIT\n");
/** The signature, version and command, family and protocol, and the length of what follows. */
export const PP2_FIXED_SIZE = 16;

/** The upper half of the byte after the signature; the lower half is the command. */
export const PP2_VERSION = 0x20;
export const PP2_LOCAL = 0x00;
export const PP2_PROXY = 0x01;

export const PP2_UNSPEC = 0x00;
export const PP2_TCP_OVER_IPV4 = 0x11;
export const PP2_TCP_OVER_IPV6 = 0x21;
export const PP2_UNIX_STREAM = 0x31;

export const PP2_TYPE_ALPN = 0x01;
export const PP2_TYPE_AUTHORITY = 0x02;
export const PP2_TYPE_CRC32C = 0x03;
export const PP2_TYPE_UNIQUE_ID = 0x05;
export const PP2_TYPE_SSL = 0x20;
export const PP2_SUBTYPE_SSL_VERSION = 0x21;
export const PP2_SUBTYPE_SSL_CN = 0x22;
export const PP2_SUBTYPE_SSL_CIPHER = 0x23;
export const PP2_SUBTYPE_SSL_SIG_ALG = 0x24;
export const PP2_SUBTYPE_SSL_KEY_ALG = 0x25;
export const PP2_SUBTYPE_SSL_CLIENT_CERT = 0x28;
/** hitch's own, from the range for private use: the client's certificate as PEM. */
export const PP2_TYPE_HITCH_CERT = 0xe0;

export const PP2_CLIENT_SSL = 0x01;
export const PP2_CLIENT_CERT_CONN = 0x02;
export const PP2_CLIENT_CERT_SESS = 0x04;

/** Type and length before a TLV's value. */
export const TLV_HEAD_SIZE = 3;
/** Type, length and value. */
export const CRC32C_TLV_SIZE = TLV_HEAD_SIZE + 4;

/** Maximum size of a version 2 header, read or written: the size of HAProxy's buffer. */
export const MAX_HEADER_SIZE = 16_384;
