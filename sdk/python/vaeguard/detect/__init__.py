"""alibi-detect's adversarial detectors, trained and run by vaeguard."""
