import type * as node from '../node/image-files.ts';
import { lacking } from './lacking.ts';

export const openImageFile: typeof node.openImageFile = async () => lacking('files');
