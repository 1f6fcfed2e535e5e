import LDNS

/// Holds a known signature of each kind against its key, and a wrong one: what a validator does before it reads anything.
enum ValidatorTrial {
  private struct Sample {
    let algorithm: SignatureAlgorithm
    /// Both in hexadecimal digits.
    let key: String
    let signature: String
  }

  /// Over these octets all are made; the keys were thrown away.
  private static let text = Array("sluice".utf8)

  /// Whether the library says of each what is true of it.
  static func passes() -> Bool {
    [rsaSHA1, rsaSHA256, rsaSHA512, ecdsaP256, ecdsaP384, ed25519].allSatisfy { sample in
      let (key, signature) = (octets(sample.key), octets(sample.signature))
      return sample.algorithm.verifies(signature, key: key, over: text)
        && !sample.algorithm.verifies(signature, key: key, over: text + [0])
    }
  }

  private static func octets(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap { UInt8(exactly: Character(Unicode.Scalar($0)).hexDigitValue ?? -1) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private static let rsaKey =
    "03010001a45c29aa7cae0554410ed9cdeb8e1ff8c471a450c8376618e468590f3200e6c8ad827a1589e7bce0e16f5e52"
    + "ff79a1b113afe19bbb60ed794b50a0e19bc0b265ec125a53b514b64988432144e3b0c2c88c05ec78b3ea2fcab42d2db0"
    + "3f062fc9b19f926714285c038d766f703f3639656f5d390c1d04121ef40911bd6aa7108f"
  private static let rsaSHA1 = Sample(
    algorithm: .rsaSHA1,
    key: rsaKey,
    signature: "7753c5367a4c3e09e3c1782635192f64d3a7fee22a386d70d607a40c8e8e2fa61cedf4d8ff0f37b560c5e022b6aef888"
      + "2a2dc6e92d3cb6cb17bbc2130d4199aaa1764a42ffaa56607565fa3ee8e3fb5aa72055f4f6593c811272881948c63a78"
      + "b8dec375c60a48e9f5761fd00af6771c387ff7a909323ab3e640afce0f4f3bd6")
  private static let rsaSHA256 = Sample(
    algorithm: .rsaSHA256,
    key: rsaKey,
    signature: "7460d9f99118db8451d2017a0ee009d1aad7efc0c1dd12e867b13447f485e9a250f10db3be0898754d411635df6a609d"
      + "17e8ab3b8b5dd5f37cf9d2c07d3602976b8522144bcbbd8cb80665aed08b67b77b6eb0b0aef9703cfec853b769846d4b"
      + "40284ef4096be4b4af0e97990e3d1f71279ed602c0ab24d0048ded64fcb43a97")
  private static let rsaSHA512 = Sample(
    algorithm: .rsaSHA512,
    key: rsaKey,
    signature: "450ac07e2a03c9feebe536bd5954608227e9da64b6bca8a7008d3fb35b36a3bf948191940b95d4d0660b7121f2f86ab7"
      + "b2cd0f7f0f22532198768d5c007b3558dd729c2d46a220e7050f6c3e27bf9f6ce794c96ed39402e5ef9342ad4ff1a7f7"
      + "d0f7e2a24d60215573f3a56bc80a203195a3f82bb8249f1707242c8bab44be41")
  private static let ecdsaP256 = Sample(
    algorithm: .ecdsaP256,
    key: "83c0b33d75a53e93c9c622544aac978dc8973b564c2dc305d580e3591775353e9cc9f886265852d593072cbb20420ff8"
      + "59a802f06be944aae74c53dc991f62f9",
    signature: "d5b356d63ab60f8f02fc19d18d556735582c9ac4055941bab73a5d02d2b7c28221dd5a75f0a9b3db8b65d052d20c660f"
      + "af5c34fc4c2c46b7786543ece85b29dd")
  private static let ecdsaP384 = Sample(
    algorithm: .ecdsaP384,
    key: "cd8c36073c150812d1f84e55a5d2a14100135dcfd68be77ec7037aa9570a1e4c2c1dd6642d1e55e23ca8848263e2e359"
      + "eb4ad66a1d24c76c80bb8c910f26072ca6818413f0cec8d7afa8128b5e59c3cd4fbeca5632a75a94de48edf227733977",
    signature: "d51eb98cd57c8923fd85b1d3276f67670469966be36d4641b9b209861f03b587f90435bc36522faba81db85d36af3330"
      + "3fdfda36f6bef8d341132675be226e7c95137126eba216f7157b434f7111f740b9ec74988d0a8351a81c8035ad8198f8")
  private static let ed25519 = Sample(
    algorithm: .ed25519,
    key: "381e9216ca56de8da1c4f8e5ed533114a2970a72041b9c9df5d09da6ca90b396",
    signature: "587491d45ee1eb8aaa1f47d85564f3b97d68200b64292934039655376cd4bff4ac950b4dda46a43e63987b4ffce2e4e9"
      + "7b6384142fab1ca922c093fcc35c7b05")
}
