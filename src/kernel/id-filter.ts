/**
 * A set of texts in a fixed number of bytes (a Bloom filter, B. H. Bloom 1970): what was added is always found, and of
 * what was not, about one in 23 at 10,000 texts and the default size. Hashes are FNV-1a, doubled as by Kirsch and
 * Mitzenmacher (2006).
 */
const HASHES = 5;

export class IdFilter {
  readonly #bits: Uint32Array;

  /** @param bytes a multiple of 4 */
  constructor(bytes = 8 * 1024) {
    this.#bits = new Uint32Array(bytes / 4);
  }

  add(text: string): void {
    for (const bit of this.#bitsOf(text)) this.#bits[bit >>> 5] = (this.#bits[bit >>> 5] ?? 0) | (1 << (bit & 31));
  }

  mayHave(text: string): boolean {
    return this.#bitsOf(text).every((bit) => ((this.#bits[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0);
  }

  #bitsOf(text: string): number[] {
    const count = this.#bits.length * 32;
    const first = hash(text, 0x811c9dc5);
    const second = hash(text, 0x01000193) | 1;
    return Array.from({ length: HASHES }, (_, n) => (first + Math.imul(n, second)) >>> 0).map((bit) => bit % count);
  }
}

function hash(text: string, seed: number): number {
  let value = seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value ^= value >>> 15;
  return (value ^ (value >>> 13)) >>> 0;
}
