"""Files of `imperv patches`: images and annotations, patch sets, models, maps; no production file and no store."""
