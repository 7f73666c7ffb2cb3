"""alibi-detect's adversarial detectors, trained and run by vaeguard.

    from vaeguard.detect import AdversarialVAE

    ad = AdversarialVAE(encoder_net=encoder_net, decoder_net=decoder_net, model=model, latent_dim=50)
    ad.fit(X_train, epochs=50)
    ad.infer_threshold(X_val, threshold_perc=95)
    ad.predict(X)["data"]["is_adversarial"]

model is the classifier to guard. A Keras or torch model, a scikit-learn or XGBoost classifier, a function of arrays and a
vaeguard.Classifier stay in this process, on their GPU if they are on one, and answer vaeguard from here. The path of an ONNX
file, the URL of a model on a server (SERVER/v2/models/NAME), the name of a plugin and a dict, a spec's section classifier, are
reached by vaeguard itself; relative paths, those of a dict too, start from the working directory. Rows are arrays (N, …), images
as the model takes them: NHWC of Keras, NCHW of torch; or tables, whose columns then go by the names that fit had.

What is trained is a detector as any other: save_detector writes a folder that the program `vaeguard` and Go open too.
"""

from .adversarial import AdversarialAE, AdversarialVAE, ModelDistillation
from .alibi import from_alibi
from .base import AdversarialDetector
from .saving import load_detector, save_detector

__all__ = ["AdversarialAE", "AdversarialDetector", "AdversarialVAE", "ModelDistillation", "from_alibi", "load_detector", "save_detector"]
