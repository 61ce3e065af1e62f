/**
 * Latencies in buckets whose width grows with the value: 128 to each power of two, so that a percentile is off by less than 1 %
 * whatever its size, and memory is bounded whatever the number of values (the idea of HdrHistogram; its JavaScript form is 1.5 MB
 * with WebAssembly, this is a page).
 *
 * Values are whole microseconds; larger ones than 2^42 (50 days) count as that.
 */
const SUB_BITS = 7;
const SUB = 2 ** SUB_BITS;
const MAX_BITS = 42;

export class Histogram {
  readonly #counts = new Float64Array((MAX_BITS - SUB_BITS + 1) * SUB);
  #count = 0;
  #sum = 0;
  #max = 0;

  record(us: number): void {
    const value = Math.min(2 ** MAX_BITS - 1, Math.max(0, Math.round(us)));
    const at = bucketOf(value);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
    this.#max = Math.max(this.#max, value);
  }

  get count(): number {
    return this.#count;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  get max(): number {
    return this.#max;
  }

  /** The value that so many of a hundred do not exceed; 0 while there is none. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((this.#count * percent) / 100));
    let seen = 0;
    for (const [at, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= wanted) return Math.min(this.#max, topOf(at));
    }
    return this.#max;
  }
}

/** Values below 256 have a bucket of their own; of each further power of two, the first 8 bits tell. */
function bucketOf(value: number): number {
  if (value < 2 * SUB) return value;
  const shift = Math.floor(Math.log2(value)) - SUB_BITS;
  return (shift + 1) * SUB + Math.floor(value / 2 ** shift) - SUB;
}

/** The largest value of a bucket. */
function topOf(at: number): number {
  if (at < 2 * SUB) return at;
  const shift = Math.floor(at / SUB) - 1;
  return ((at % SUB) + SUB + 1) * 2 ** shift - 1;
}
