import { COMPRESSION, REFUSAL, type CoreExports } from 'multifd/core';

/**
 * The core once more, as simply as it can be said: one byte, one bit, one page at a time over a
 * DataView, and packets straight from the layout tables.
 */
export function model(bytes: Uint8Array): CoreExports {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const offsetAt = (offsets: number, i: number): number =>
    Number(view.getBigUint64(offsets + 8 * i, true));
  const page = (at: number, pageSize: number): Uint8Array => bytes.subarray(at, at + pageSize);
  const isZero = (at: number, pageSize: number): boolean =>
    page(at, pageSize).every((byte) => byte === 0);
  const bit = (mask: number, i: number): boolean =>
    ((view.getUint8(mask + (i >> 3)) >> (i & 7)) & 1) === 1;
  const text = (at: number): string => Buffer.from(bytes.subarray(at, at + 256)).toString('latin1');

  const writeBit = (bitmap: number, i: number, present: boolean): void => {
    const at = bitmap + Math.floor(i / 8);
    const one = 1 << (i % 8);
    view.setUint8(at, present ? view.getUint8(at) | one : view.getUint8(at) & ~one);
  };
  const nextBit = (bitmap: number, from: number, end: number, wanted: boolean): number => {
    for (let i = from; i < end; i++) if (bit(bitmap, i) === wanted) return i;
    return end;
  };

  return {
    normalPages(pages, pageSize, count) {
      for (let i = 0; i < count; i++) if (isZero(pages + i * pageSize, pageSize)) return i;
      return count;
    },

    zeroMask(pages, pageSize, count) {
      let mask = 0;
      for (let i = 0; i < count; i++) if (isZero(pages + i * pageSize, pageSize)) mask += 2 ** i;
      return mask;
    },

    zeroMaskAt(base, offsets, pageSize, count, mask) {
      let zeros = 0;
      bytes.fill(0, mask, mask + 4 * Math.ceil(count / 32));
      for (let i = 0; i < count; i++) {
        if (!isZero(base + offsetAt(offsets, i), pageSize)) continue;
        writeBit(mask, i, true);
        zeros++;
      }
      return zeros;
    },

    compareMask(a, b, pageSize, count) {
      let mask = 0;
      for (let i = 0; i < count * pageSize; i++) {
        if (bytes[a + i] !== bytes[b + i]) mask |= 1 << Math.floor(i / pageSize);
      }
      return mask >>> 0;
    },

    neighbours(offsets, first, count, pageSize) {
      for (let i = 0; i < count; i++)
        view.setBigUint64(offsets + 8 * i, BigInt(first + i) * BigInt(pageSize), true);
    },

    partition(offsets, count, mask) {
      const all = Array.from({ length: count }, (_, i) => ({
        zero: bit(mask, i),
        offset: view.getBigUint64(offsets + 8 * i, true),
      }));
      const normal = all.filter(({ zero }) => !zero);
      const ordered = [...normal, ...all.filter(({ zero }) => zero)];
      for (const [i, { offset }] of ordered.entries())
        view.setBigUint64(offsets + 8 * i, offset, true);
      return normal.length;
    },

    compact(pages, pageSize, count, mask) {
      let normal = 0;
      for (let i = 0; i < count; i++) {
        if (!bit(mask, i))
          bytes.set(page(pages + i * pageSize, pageSize).slice(), pages + normal++ * pageSize);
      }
      return normal;
    },

    gather(dst, base, offsets, count, pageSize) {
      for (let i = 0; i < count; i++)
        bytes.set(page(base + offsetAt(offsets, i), pageSize), dst + i * pageSize);
    },

    scatter(base, src, offsets, count, pageSize) {
      for (let i = 0; i < count; i++)
        bytes.set(page(src + i * pageSize, pageSize), base + offsetAt(offsets, i));
    },

    clearRun(pages, pageSize, count) {
      bytes.fill(0, pages, pages + count * pageSize);
    },

    clear(base, offsets, count, pageSize) {
      for (let i = 0; i < count; i++) page(base + offsetAt(offsets, i), pageSize).fill(0);
    },

    runs(offsets, count, pageSize, out) {
      const found: { offset: number; bytes: number }[] = [];
      for (let i = 0; i < count; i++) {
        const last = found.at(-1);
        const offset = offsetAt(offsets, i);
        if (last !== undefined && last.offset + last.bytes === offset) last.bytes += pageSize;
        else found.push({ offset, bytes: pageSize });
      }
      for (const [i, run] of found.entries()) {
        view.setFloat64(out + 16 * i, run.offset, true);
        view.setFloat64(out + 16 * i + 8, run.bytes, true);
      }
      return found.length;
    },

    hash(at, pageSize, key, out) {
      for (const half of [0, 1]) {
        let sum = 0n;
        const keyed = (block: number, word: number): bigint =>
          BigInt(
            (view.getUint32(at + 32 * block + 4 * word, true) +
              view.getUint32(key + 32 * (block + half) + 4 * word, true)) >>>
              0,
          );
        for (let block = 0; block < pageSize / 32; block++) {
          for (let word = 0; word < 4; word++) sum += keyed(block, word) * keyed(block, word + 4);
        }
        view.setBigUint64(out + 8 * half, BigInt.asUintN(64, sum), true);
      }
    },

    hashPages(at, pageSize, count, key, out) {
      for (let page = 0; page < count; page++)
        this.hash(at + page * pageSize, pageSize, key, out + 16 * page);
    },

    markPages(bitmap, offsets, count, pageSize, present) {
      for (let i = 0; i < count; i++)
        writeBit(bitmap, offsetAt(offsets, i) / pageSize, present === 1);
    },

    nextRun: (bitmap, from, end) => nextBit(bitmap, from, end, true),
    runEnd: (bitmap, from, end) => nextBit(bitmap, from, end, false),

    countBits(bitmap, end) {
      let set = 0;
      for (let i = 0; i < end; i++) if (bit(bitmap, i)) set++;
      return set;
    },

    fillInitial(dst, uuid, id) {
      bytes.fill(0, dst, dst + 64);
      view.setUint32(dst, 0x11223344);
      view.setUint32(dst + 4, 1);
      bytes.set(bytes.slice(uuid, uuid + 16), dst + 8);
      view.setUint8(dst + 24, id);
    },

    checkInitial(src, uuid, channels) {
      if (view.getUint32(src) !== 0x11223344) return REFUSAL.magic;
      if (view.getUint32(src + 4) !== 1) return REFUSAL.version;
      for (let i = 0; i < 16; i++) if (bytes[src + 8 + i] !== bytes[uuid + i]) return REFUSAL.uuid;
      return view.getUint8(src + 24) < channels ? 0 : REFUSAL.channelId;
    },

    fillRam(dst, flags, pagesAlloc, normal, zero, payload, counter, blockId, offsets) {
      const number = view.getBigUint64(counter, true);
      view.setBigUint64(counter, number + 1n, true);
      bytes.fill(0, dst, dst + 320 + 8 * pagesAlloc);
      const words = [0x11223344, 1, flags, pagesAlloc, normal, payload];
      for (const [i, word] of words.entries()) view.setUint32(dst + 4 * i, word);
      view.setBigUint64(dst + 24, number);
      view.setUint32(dst + 32, zero);
      if (blockId !== 0) bytes.set(bytes.slice(blockId, blockId + 256), dst + 64);
      for (let i = 0; i < normal + zero; i++)
        view.setBigUint64(dst + 320 + 8 * i, view.getBigUint64(offsets + 8 * i, true));
    },

    checkRam(src, pagesAlloc, pageSize, compression, blocks, blockCount, out, offsets) {
      const word = (at: number): number => view.getUint32(src + at);
      const flags = word(8);
      const normal = word(16);
      const zero = word(32);
      if (word(0) !== 0x11223344) return REFUSAL.magic;
      if (word(4) !== 1) return REFUSAL.version;
      if (flags > 0x3f) return REFUSAL.flags;
      const bareSync = word(12) === 0 && normal === 0 && zero === 0;
      if (word(12) !== pagesAlloc && !bareSync) return REFUSAL.pagesAlloc;
      if (normal > pagesAlloc) return REFUSAL.normalPages;
      if (normal + zero > pagesAlloc) return REFUSAL.zeroPages;
      let block = 0xffffffff;
      if (normal + zero > 0) {
        if (Math.floor(flags / 2) !== compression) return REFUSAL.compression;
        const [id, rest] = text(src + 64).split('\0', 2);
        if (rest === undefined) return REFUSAL.ramblockUnterminated;
        block = -1;
        for (let i = blockCount - 1; i >= 0; i--)
          if (id !== '' && text(blocks + 272 * i).split('\0', 1)[0] === id) block = i;
        if (block < 0) return REFUSAL.ramblockUnknown;
        const used = view.getBigUint64(blocks + 272 * block + 256, true);
        for (let i = 0; i < normal + zero; i++) {
          const offset = view.getBigUint64(src + 320 + 8 * i);
          const refused =
            offset % BigInt(pageSize) !== 0n
              ? REFUSAL.pageUnaligned
              : offset + BigInt(pageSize) > used
                ? REFUSAL.pageOutside
                : 0;
          if (refused === 0) continue;
          view.setUint32(out + 20, i, true);
          return refused;
        }
      }
      const payload = normal === 0 ? 0 : word(20);
      const raw = normal * pageSize;
      if (compression === COMPRESSION.none && payload !== raw) return REFUSAL.payload;
      if (compression !== COMPRESSION.none && normal > 0 && payload === 0) return REFUSAL.payload;
      if (normal > 0 && payload > Math.floor((raw * 9) / 8) + 1024) return REFUSAL.payload;
      for (let i = 0; i < normal + zero; i++)
        view.setBigUint64(offsets + 8 * i, view.getBigUint64(src + 320 + 8 * i), true);
      for (const [i, info] of [block, flags, normal, zero, payload].entries())
        view.setUint32(out + 4 * i, info, true);
      view.setBigUint64(out + 24, view.getBigUint64(src + 24), true);
      return 0;
    },

    fillDeviceState(dst, idstr, instanceId, payload) {
      view.setUint32(dst, 0x11223344);
      view.setUint32(dst + 4, 1);
      view.setUint32(dst + 8, 0x40);
      bytes.set(bytes.slice(idstr, idstr + 256), dst + 12);
      view.setUint32(dst + 268, instanceId);
      view.setUint32(dst + 272, payload);
    },

    checkDeviceState(src, limit, out) {
      if (view.getUint32(src) !== 0x11223344) return REFUSAL.magic;
      if (view.getUint32(src + 4) !== 1) return REFUSAL.version;
      if (view.getUint32(src + 8) !== 0x40) return REFUSAL.deviceFlags;
      const idstr = text(src + 12);
      if (idstr.startsWith('\0') || !idstr.includes('\0')) return REFUSAL.deviceIdstr;
      const payload = view.getUint32(src + 272);
      if (payload === 0 || payload > limit) return REFUSAL.devicePayload;
      view.setUint32(out, view.getUint32(src + 268), true);
      view.setUint32(out + 4, payload, true);
      return 0;
    },
  };
}
