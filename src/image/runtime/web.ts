import type * as node from './node.ts';
import { unsupported } from '../../util/runtime.ts';

export const absolutePath: typeof node.absolutePath = (...paths) => paths.join('/');
export const hasStamp: typeof node.hasStamp = async () => unsupported('files');
export const ImageUpdate: Pick<typeof node.ImageUpdate, 'open'> = {
  open: async () => unsupported('files'),
};
export const imageSink: typeof node.imageSink = async () => unsupported('files');
export const imageUpdateSink: typeof node.imageUpdateSink = () => unsupported('files');
