"""What the manifests say: terms, citations and sources of every dataset and file of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Published:
    """A file that is published at an address and was not seen here; ``record`` says who vouches for the hash."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    record: str | None = None
    moving: bool = False


@dataclass(frozen=True)
class Generated:
    """Data that are computed: by which function, for which tasks at its default parameters."""

    function: str
    tasks: Sequence[str]


@dataclass(frozen=True)
class Dataset:
    """One manifest. ``licences``: SPDX identifiers, or (LicenseRef, address of the terms)."""

    name: str
    description: str
    licences: Sequence[str | tuple[str, str]]
    url: str
    creator: str
    published: str
    citation: str
    files: Sequence[Any] = ("**/*",)
    folder: str = ""
    sources: Sequence[str] = ()
    file_sources: Mapping[str, str] = field(default_factory=dict)
    file_licences: Mapping[str, str] = field(default_factory=dict)
    package: str | None = None
    generated: Generated | None = None
    organization: bool = True


def github(repository: str, commit: str, path: str = "") -> str:
    """Address of a file or folder of a repository at one commit."""
    return f"https://github.com/{repository}/tree/{commit}" + (f"/{path}" if path else "")


def mirrored(name: str, **facts: Any) -> Dataset:
    """A folder of the mirror under the dataset's own name."""
    return Dataset(name=name, folder=facts.pop("folder", name), **facts)


def weights(name: str, files: Sequence[str] | None = None, **facts: Any) -> Dataset:
    """A file of the mirror's weights."""
    return Dataset(name=name, folder="weights", files=files or (f"{name}.safetensors",), **facts)


IMAGENET_TERMS = ("LicenseRef-ImageNet-terms", "https://www.image-net.org/download.php")
COCO_TERMS = ("LicenseRef-COCO-photographs", "https://cocodataset.org/#termsofuse")
CUB_TERMS = ("LicenseRef-CUB-200-2011", "https://www.vision.caltech.edu/datasets/cub_200_2011/")
VOC_TERMS = ("LicenseRef-PASCAL-VOC", "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/")
ADE_TERMS = ("LicenseRef-ADE20K-terms", "https://ade20k.csail.mit.edu/terms")
CIFAR_TERMS = ("LicenseRef-CIFAR-10-research", "https://www.cs.toronto.edu/~kriz/cifar.html")

COCO_FROM = [
    github("developer0hye/COCO128", "47a3de30aaf7ad1c02105bd80598fb03ac0d0789"),
    github("lightly-ai/coco128_yolo", "6d6f7a059ea63efffdbe48aca2d52c04d4c510e9"),
    github("ruizewang/evaluate", "1152656d3b8c66c48fc6a4357e159f5e21bd2d2d", "annotations/captions_val2017.json"),
]
CUB_FROM = [
    github("serizba/vision", "16a8a47ea88abb31d9b61b81dbbe09347bf72385", "ex03/task2/bird_dataset"),
    github("outsidercsy/CAM-on-CUB_200_2011-Keras", "e5666c3c6bd3cd1c5bf3046a19d8e103d7be70f2", "CUB_200_2011"),
]
CORAL = "104342d2d3480b3e66203073dac24f4e2dbb4c41"
TFDS = "https://github.com/tensorflow/datasets/blob/333639b37af6c6fedf3610a4a2d42f1c6ef6f7d5/tensorflow_datasets/url_checksums/"
SKIMAGE_CC0 = ("camera.png", "chelsea.png", "coffee.png", "retina.jpg")
PHOTOGRAPHS = (
    "astronaut.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg",
)  # fmt: skip

GENERATED = [
    Dataset(
        name="scenes",
        description="Rendered scenes of shapes and composite objects with exact masks, factors, captions and "
        "relations. Nothing is stored: the same parameters and seed give the same pixels.",
        licences=["BSD-3-Clause"],
        url="urn:interpretation-workbench:scenes",
        creator="The interpretation workbench developers",
        published="2026",
        citation="interpretation_workbench",
        generated=Generated("workbench.data.scenes.generate", ("object", "part", "relation", "object_confounded")),
    ),
]
PACKAGED = [
    Dataset(
        name="digits",
        description="1797 handwritten digits of 8 x 8 pixels with 17 grey levels, as they come with scikit-learn: the"
        " test set of Optical Recognition of Handwritten Digits.",
        licences=["CC-BY-4.0"],
        url="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        creator="E. Alpaydin, C. Kaynak",
        organization=False,
        published="1998",
        citation="alpaydin1998",
        package="sklearn/datasets/data",
        folder="digits",
        files=("digits.csv.gz",),
        sources=["https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"],
    ),
    Dataset(
        name="photographs",
        description="Nine photographs that come with scikit-image, all free of restrictions: CC0, or in the public "
        "domain as scikit-image's documentation of each says.",
        licences=[
            "CC0-1.0",
            ("LicenseRef-public-domain", "https://scikit-image.org/docs/stable/api/skimage.data.html"),
        ],
        url="https://scikit-image.org/docs/stable/api/skimage.data.html",
        creator="The scikit-image team",
        published="2014",
        citation="vanderwalt2014",
        package="skimage/data",
        folder="photographs",
        files=PHOTOGRAPHS,
        sources=["https://scikit-image.org/docs/stable/api/skimage.data.html"],
        file_licences={n: "CC0-1.0" if n in SKIMAGE_CC0 else "LicenseRef-public-domain" for n in PHOTOGRAPHS},
    ),
]
PUBLISHED = [
    Dataset(
        name="cub-200-2011",
        description="CUB-200-2011: 11,788 photographs of 200 bird species with boxes, 15 part points and 312 "
        "attributes. For non-commercial research and education. The md5 is the one that public loaders of"
        " this archive check against; the archive was not seen when this was written.",
        licences=[CUB_TERMS],
        url="https://data.caltech.edu/records/65de6-vp158",
        creator="California Institute of Technology",
        published="2011",
        citation="wah2011",
        files=[
            Published(
                "CUB_200_2011.tgz",
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                md5="97eceeb196236b17998738112f37df78",
                record="https://github.com/TDeVries/cub2011_dataset/blob/master/cub2011.py",
            )
        ],
    ),
    Dataset(
        name="cub70",
        description="CUB70-PartSegmentation: masks of 11 parts for test photographs of the first 70 classes of "
        "CUB-200-2011 (without the photographs). The address is a branch, which may change, and no hash "
        "is published: it is accepted only with trust on first use.",
        licences=["MIT"],
        url="https://github.com/hamedbehzadi/CUB70-PartSegmentationDataset",
        creator="Hamed Behzadi-Khormouji, José Oramas",
        organization=False,
        published="2023",
        citation="behzadi2023",
        files=[
            Published(
                "AnnotationMasksPerclass.tar.xz",
                "https://github.com/hamedbehzadi/CUB70-PartSegmentationDataset/raw/main/AnnotationMasksPerclass.tar.xz",
                moving=True,
            )
        ],
    ),
    Dataset(
        name="voc-2007",
        description="PASCAL VOC 2007: 9,963 photographs with boxes of 20 classes, 632 of them with class and object "
        "masks. The md5 are those of torchvision's loader; the archives were not seen when this was "
        "written.",
        licences=[VOC_TERMS],
        url="http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
        creator="The PASCAL VOC project",
        published="2007",
        citation="everingham2010",
        files=[
            Published(
                f"VOC{part}_06-Nov-2007.tar",
                f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOC{part}_06-Nov-2007.tar",
                md5=md5,
                record="https://github.com/pytorch/vision/blob/main/torchvision/datasets/voc.py",
            )
            for part, md5 in (
                ("trainval", "c52e279531787c972589f7e41ab4ae64"),
                ("test", "b6e924de25625d8de591ea690078ad9f"),
            )
        ],
    ),
    Dataset(
        name="coco-2014-val",
        description="COCO 2014 validation: 40,504 photographs with boxes, masks and five captions each; the "
        "annotations of the training photographs come in the same archive. Hashes and sizes are those "
        "that TensorFlow Datasets records for these addresses; the archives were not seen when this was "
        "written.",
        licences=["CC-BY-4.0", COCO_TERMS],
        url="https://cocodataset.org/#download",
        creator="COCO Consortium",
        published="2014",
        citation="lin2014",
        files=[
            Published(
                "val2014.zip",
                "http://images.cocodataset.org/zips/val2014.zip",
                size=6645013297,
                sha256="fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                record=TFDS + "coco.txt",
            ),
            Published(
                "annotations_trainval2014.zip",
                "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
                size=252872794,
                sha256="031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
                record=TFDS + "coco.txt",
            ),
        ],
    ),
]
MIRRORED = [
    mirrored(
        "imagenet-samples",
        description="600 photographs, one a class of ILSVRC-2012, short side resized to 256, centre 256 x 256, JPEG "
        "quality 95. Probably training images: for explanations, not for accuracies. Do not redistribute.",
        licences=[IMAGENET_TERMS],
        url="https://www.image-net.org/",
        creator="ImageNet",
        published="2015",
        citation="russakovsky2015",
        sources=[github("EliSchwartz/imagenet-sample-images", "bc69043e2862758a1906c6a24a792bb28c6bb2ff")],
    ),
    mirrored(
        "coco-train128",
        description="128 photographs of COCO 2017 train, re-encoded at JPEG quality 85, with 939 boxes and polygons. "
        "Every photograph has a Flickr licence of its own.",
        licences=["CC-BY-4.0", COCO_TERMS],
        url="https://cocodataset.org/",
        creator="COCO Consortium",
        published="2017",
        citation="lin2014",
        sources=COCO_FROM[:1],
    ),
    mirrored(
        "coco-val",
        description="60 photographs of COCO 2017 val, re-encoded at JPEG quality 85, with panoptic and semantic masks"
        " and 300 captions. Every photograph has a Flickr licence of its own.",
        licences=["CC-BY-4.0", COCO_TERMS],
        url="https://cocodataset.org/",
        creator="COCO Consortium",
        published="2017",
        citation="lin2014",
        sources=COCO_FROM[1:],
        file_sources={"captions.json": COCO_FROM[2]},
    ),
    Dataset(
        name="coco-licences",
        description="The Flickr licence and address of every photograph of coco-train128 and coco-val.",
        licences=["CC-BY-4.0"],
        url="https://cocodataset.org/",
        creator="COCO Consortium",
        published="2017",
        citation="lin2014",
        folder=".",
        files=("coco-licences.csv",),
        sources=COCO_FROM[:2],
    ),
    mirrored(
        "cub-crops",
        description="600 photographs of 100 classes of CUB-200-2011, cropped to the bird and squashed to 227 x 227, "
        "with 312 attributes a class. They cannot be matched to CUB's image numbers, so part points and "
        "masks do not apply.",
        licences=[CUB_TERMS],
        url="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        creator="California Institute of Technology",
        published="2011",
        citation="wah2011",
        sources=CUB_FROM,
        file_sources=dict.fromkeys(
            ["classes.txt", "parts.txt", "attributes.txt", "class_attribute_labels_continuous.txt"], CUB_FROM[1]
        ),
    ),
    mirrored(
        "voc-sample",
        description="Three photographs of PASCAL VOC 2011 in VOC's layout; boxes and masks drawn by labelme's author.",
        licences=["GPL-3.0-only", VOC_TERMS],
        url="https://github.com/wkentaro/labelme",
        creator="labelme",
        published="2011",
        citation="everingham2010",
        sources=[github("wkentaro/labelme", "51e50e43067e4963627513f8334d91f15b11ac48", "examples")],
    ),
    mirrored(
        "ade20k-parts",
        description="Three street scenes of ADE20K at half size with object and part masks.",
        licences=["BSD-3-Clause", ADE_TERMS],
        url="https://ade20k.csail.mit.edu/",
        creator="MIT CSAIL Computer Vision Group",
        published="2017",
        citation="zhou2017",
        sources=[
            github(
                "CSAILVision/ADE20K",
                "df5ee67bfe143f3e0cbd5d3929aeeb817a256cbc",
                "dataset/ADE20K_2021_17_01/images/ADE/training/urban/street",
            )
        ],
    ),
    mirrored(
        "cifar10-sample",
        description="The first 1000 test and the first 1000 training images of CIFAR-10, lossless, 32 x 32 pixels.",
        licences=[CIFAR_TERMS],
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        creator="Alex Krizhevsky",
        organization=False,
        published="2009",
        citation="krizhevsky2009",
        sources=[github("larrabeew/covnetJS", "0d2866f3c12431c9044d3f275a588c12dc785926", "demo/cifar10")],
    ),
    mirrored(
        "mnist-test",
        description="The 10,000 test digits of MNIST, 28 x 28 pixels.",
        licences=["CC-BY-SA-3.0"],
        url="http://yann.lecun.com/exdb/mnist/",
        creator="Yann LeCun, Corinna Cortes",
        organization=False,
        published="1998",
        citation="lecun1998",
        sources=[github("sebastian-lapuschkin/lrp_toolbox", "1c9efda01ebcec7a03046d812ff331a2d6f54c9e", "data/MNIST")],
    ),
    mirrored(
        "pneumonia-mnist",
        description="PneumoniaMNIST (MedMNIST v2): chest X-rays of 28 x 28 pixels, normal or pneumonia. 3882 of the "
        "official 4708 training images; validation and test are complete.",
        licences=["CC-BY-4.0"],
        url="https://medmnist.com/",
        creator="MedMNIST",
        published="2023",
        citation="yang2023",
        sources=[
            github("varun19424/pneumonia_mnist", "9361a718d67e8a40f1ef8929db8c5682add8bd70", "data/pneumoniamnist.npz")
        ],
    ),
    mirrored(
        "chest-xray",
        description="55 chest X-rays with findings, grey, short side at most 512, JPEG quality 90. For research only.",
        licences=[("LicenseRef-research-only", "https://github.com/agchung/Figure1-COVID-chestxray-dataset")],
        url="https://github.com/agchung/Figure1-COVID-chestxray-dataset",
        creator="Figure 1 COVID-19 Chest X-ray Dataset Initiative",
        published="2020",
        citation="figure1covid",
        sources=[github("agchung/Figure1-COVID-chestxray-dataset", "95bb569e55f4110d3b734c0f355340e04e16989a")],
    ),
    mirrored(
        "sst",
        description="Stanford Sentiment Treebank, five classes: parse trees with a label at every node.",
        licences=[("LicenseRef-research-only", "https://nlp.stanford.edu/sentiment/")],
        url="https://nlp.stanford.edu/sentiment/",
        creator="Stanford NLP Group",
        published="2013",
        citation="socher2013",
        sources=[github("stanfordnlp/sentiment-treebank", "fa0a89e0cabf5eac3ff4e1d27551fad4046ec012", "fiveclass")],
    ),
    mirrored(
        "eeg-eye-state",
        description="117 s of 14-channel EEG at 128 Hz, 14,980 samples, eyes open (0) or closed (1) at each.",
        licences=["CC-BY-4.0"],
        url="https://archive.ics.uci.edu/dataset/264/eeg+eye+state",
        creator="Oliver Roesler",
        organization=False,
        published="2013",
        citation="roesler2013",
        sources=[github("rogerior/ixio", "5529dc301c83dd152ba981c3da6239a42e6b1855", "EEG%20Eye%20State.arff")],
    ),
    mirrored(
        "gait",
        description="525 gait trials of 6 ground-reaction-force channels x 101 time points, two groups of 105 "
        "subjects. Free for academic use only.",
        licences=[
            (
                "LicenseRef-academic-use-only",
                "https://github.com/sebastian-lapuschkin/explaining-deep-clinical-gait-classification",
            )
        ],
        url="https://github.com/sebastian-lapuschkin/explaining-deep-clinical-gait-classification",
        creator="Sebastian Lapuschkin and others",
        organization=False,
        published="2021",
        citation="slijepcevic2021",
        sources=[
            github(
                "sebastian-lapuschkin/explaining-deep-clinical-gait-classification",
                "e559dfba775f83abdd343d535dd1639c41478658",
                "python/data",
            )
        ],
    ),
]
WEIGHTS = [
    weights(
        "mobilenet_v2",
        description="torchvision mobilenet_v2, 1000 classes of ImageNet, float16, batch norm folded; dequantised from"
        " torchvision's own quantised weights.",
        licences=["BSD-3-Clause"],
        url="https://github.com/pytorch/ios-demo-app",
        creator="PyTorch",
        published="2018",
        citation="sandler2018",
        sources=[
            github(
                "pytorch/ios-demo-app",
                "b8f52b772b98a48f4d3bb14e8eb977724a66836b",
                "PyTorchDemo/PyTorchDemo/ImageClassification/model/mobilenet_quantized.pt",
            )
        ],
    ),
    weights(
        "squeezenet1_0",
        description="torchvision squeezenet1_0, 1000 classes of ImageNet, float32; decoded from Deep Compression's "
        "weights.",
        licences=["BSD-2-Clause"],
        url="https://github.com/songhan/SqueezeNet-Deep-Compression",
        creator="Song Han and others",
        organization=False,
        published="2016",
        citation="iandola2016",
        sources=[
            github(
                "songhan/SqueezeNet-Deep-Compression",
                "fb13faa2cf121ced9999f8a9d538ec6c56084733",
                "compressed_SqueezeNet.net",
            )
        ],
    ),
    weights(
        "mobilenet_v2_inat_birds",
        description="torchvision mobilenet_v2 with 965 classes: 964 bird species of iNaturalist and background, "
        "float16; dequantised. The names are in inat_bird_labels.",
        licences=["Apache-2.0"],
        url="https://github.com/google-coral/test_data",
        creator="Google Coral",
        published="2018",
        citation="sandler2018",
        sources=[github("google-coral/test_data", CORAL, "mobilenet_v2_1.0_224_inat_bird_quant.tflite")],
    ),
    weights(
        "inat_bird_labels",
        ["inat_bird_labels.txt"],
        description="Names of the 965 classes of mobilenet_v2_inat_birds, in order.",
        licences=["Apache-2.0"],
        url="https://github.com/google-coral/test_data",
        creator="Google Coral",
        published="2018",
        citation="sandler2018",
        sources=[github("google-coral/test_data", CORAL, "inat_bird_labels.txt")],
    ),
    weights(
        "tiny_darknet",
        description="Darknet's tiny ImageNet classifier with its batch-norm statistics, float32, outputs in "
        "torchvision's order.",
        licences=["MIT"],
        url="https://github.com/ml5js/ml5-data-and-models",
        creator="Joseph Redmon",
        organization=False,
        published="2016",
        citation="redmon2016",
        sources=[
            github(
                "ml5js/ml5-data-and-models",
                "0612a3e7c51cbffdc5db701dff49d16d1ac26fa8",
                "models/darknetclassifier/darknettiny",
            )
        ],
    ),
    weights(
        "cifar_resnet20",
        description="CIFAR-10 ResNet with 20 layers and parameter-free shortcuts, float32.",
        licences=["BSD-2-Clause"],
        url="https://github.com/akamaster/pytorch_resnet_cifar10",
        creator="Yerlan Idelbayev",
        organization=False,
        published="2018",
        citation="he2016",
        sources=[
            github(
                "akamaster/pytorch_resnet_cifar10",
                "d5489e8995e81e91ce6b1d69dcc98ad579b0b153",
                "pretrained_models/resnet20-12fca82f.th",
            )
        ],
    ),
    weights(
        "vit_mnist",
        description="Vision transformer for MNIST: six blocks, 16 patches, width 64, float32. No licence is granted "
        "by the repository it comes from.",
        licences=[("LicenseRef-none-granted", "https://github.com/pytorch/android-demo-app")],
        url="https://github.com/pytorch/android-demo-app",
        creator="PyTorch",
        published="2021",
        citation="dosovitskiy2021",
        sources=[
            github(
                "pytorch/android-demo-app",
                "d347168e212b8e6244019b5f49e2b3d6a6f4e816",
                "ViT4MNIST/app/src/main/assets/vit4mnist.ptl",
            )
        ],
    ),
]
DATASETS = [*GENERATED, *PACKAGED, *PUBLISHED, *MIRRORED, *WEIGHTS]
